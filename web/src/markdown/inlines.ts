/**
 * The inline structure of one paragraph, heading or cell: CommonMark's algorithm with GitHub's strikethrough and
 * autolinks. Linear in the text, whatever is in it; nested at most 32 deep.
 *
 * `cut` is a place before which nothing that follows can change anything: a long paragraph that is still growing is
 * parsed from there on only.
 */
import { bareUrl, linkEmails } from "./autolinks.ts";
import { Emphasis, type Delimiter } from "./emphasis.ts";
import { entityAt } from "./entities.ts";
import { destination, label as labelAt, skipSpace, title as titleAt } from "./links.ts";
import { collect, makeText, type Inline, type Item } from "./nodes.ts";
import { normalize, type References, type User } from "./references.ts";
import { isInline, safeUrl, encode } from "./urls.ts";

export type { Inline } from "./nodes.ts";

const MAX_DEPTH = 32;
const PLAIN = /[^\n\\`*_~[\]!<&]+/y;
const BARE = /(?:https?:\/\/|www\.)/gi;
const PUNCTUATION = /[\p{P}\p{S}]/u;
const TAG =
  /<(?:[a-z][a-z0-9-]*(?:\s+[a-z_:][\w.:-]*(?:\s*=\s*(?:[^\s"'=<>`]+|'[^']*'|"[^"]*"))?)*\s*\/?|\/[a-z][a-z0-9-]*\s*)>/iy;
const AUTOLINK = /<([a-z][a-z0-9+.-]{1,31}:[^\s<>\u0000-\u0020]*)>/iy;
const EMAIL = /<([a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*)>/iy;
/** Constructs that run until a fixed end; one that does not come is looked for once. */
const SPANS: [string, string][] = [
  ["<!-->", ""],
  ["<!--->", ""],
  ["<!--", "-->"],
  ["<?", "?>"],
  ["<![CDATA[", "]]>"],
];

interface Bracket {
  item: Item;
  image: boolean;
  /** Where its text begins. */
  at: number;
  active: boolean;
  /** A bracket came after it: its text cannot be a reference's label by itself. */
  nested: boolean;
  before: Delimiter | undefined;
  last: Bracket | undefined;
}

export class Inlines {
  readonly #text: string;
  readonly #references: References;
  readonly #user: User;
  readonly #bare: boolean;
  readonly #emphasis = new Emphasis(MAX_DEPTH);
  readonly #head: Item = { node: makeText(""), last: undefined, next: undefined };
  #tail = this.#head;
  #at = 0;
  #brackets: Bracket | undefined;
  #active = 0;
  /** Nothing that follows can change what is before this; 0 when there is no such place. */
  cut = 0;
  // Something is open that any later character may close.
  #hazard = false;
  #runs: Map<number, number[]> | undefined;
  #missing: Set<string> | undefined;

  /** @param bare whether addresses without markup become links, as on GitHub. */
  constructor(text: string, references: References, user: User, bare = true) {
    this.#text = text;
    this.#bare = bare;
    this.#references = references;
    this.#user = user;
  }

  parse(): Inline[] {
    const text = this.#text;
    while (this.#at < text.length) this.#one(text.charCodeAt(this.#at));
    this.#emphasis.pair();
    const nodes = collect(this.#head.next, undefined);
    return this.#bare ? linkEmails(nodes) : nodes;
  }

  #one(code: number): void {
    switch (code) {
      case 10:
        return this.#newline();
      case 92:
        return this.#backslash();
      case 96:
        return this.#code();
      case 42:
      case 95:
      case 126:
        return this.#delimiters(code);
      case 91:
        return this.#open(false);
      case 33:
        return this.#text[this.#at + 1] === "[" ? this.#open(true) : this.#plain(1);
      case 93:
        return this.#close();
      case 60:
        return this.#angle();
      case 38:
        return this.#entity();
      default:
        return this.#run();
    }
  }

  #push(node: Inline): Item {
    const item: Item = { node, last: this.#tail, next: undefined };
    this.#tail.next = item;
    return (this.#tail = item);
  }

  #plain(length: number): void {
    this.#push(makeText(this.#text.slice(this.#at, this.#at + length)));
    this.#at += length;
  }

  #run(): void {
    PLAIN.lastIndex = this.#at;
    const [run = ""] = PLAIN.exec(this.#text) ?? [];
    if (this.#bare && !this.#active) {
      BARE.lastIndex = 0;
      for (let found = BARE.exec(run); found; found = BARE.exec(run)) {
        const url = bareUrl(this.#text, this.#at + found.index);
        if (!url) continue;
        if (found.index) this.#plain(found.index);
        this.#push({ t: "a", href: safeUrl(url.href) ?? "", title: "", c: [makeText(url.text)], d: 1 });
        this.#at += url.text.length;
        return;
      }
    }
    this.#lookForCut(run);
    this.#plain(run.length);
  }

  /** Before a space between two words, with nothing open, the past is settled. */
  #lookForCut(run: string): void {
    if (this.#hazard || this.#active) return;
    let space = run.lastIndexOf(" ", run.length - 2);
    while (space > 0 && (run[space - 1] === " " || run[space + 1] === " ")) space = run.lastIndexOf(" ", space - 1);
    if (space <= 0) return;
    this.#emphasis.pair(undefined, true);
    if (!this.#emphasis.waiting && !this.#emphasis.stuck) this.cut = this.#at + space;
  }

  #newline(): void {
    const last = this.#tail.node;
    let hard = false;
    if (last.t === "text") {
      hard = last.s.endsWith("  ");
      last.s = last.s.replace(/ +$/, "");
    }
    if (hard) this.#push({ t: "br", d: 0 });
    this.#push(makeText("\n"));
    this.#at++;
    while (this.#text[this.#at] === " " || this.#text[this.#at] === "\t") this.#at++;
  }

  #backslash(): void {
    const next = this.#text[this.#at + 1] ?? "";
    if (next === "\n") {
      this.#push({ t: "br", d: 0 });
      this.#at++;
    } else if (/[!-/:-@[-`{-~]/.test(next)) {
      this.#push(makeText(next));
      this.#at += 2;
    } else this.#plain(1);
  }

  #code(): void {
    const start = this.#at;
    let end = start;
    while (this.#text.charCodeAt(end) === 96) end++;
    const close = this.#runOf(end - start, end);
    if (close < 0) {
      this.#hazard = true;
      return this.#plain(end - start);
    }
    let body = this.#text.slice(end, close).replaceAll("\n", " ");
    if (body.length > 2 && body.startsWith(" ") && body.endsWith(" ") && body.trim()) body = body.slice(1, -1);
    this.#push({ t: "code", s: body, d: 0 });
    this.#at = close + (end - start);
  }

  /** The next run of exactly `length` backticks. All runs are found in one pass. */
  #runOf(length: number, from: number): number {
    if (!this.#runs) {
      this.#runs = new Map();
      for (const found of this.#text.matchAll(/`+/g)) {
        const places = this.#runs.get(found[0].length);
        if (places) places.push(found.index);
        else this.#runs.set(found[0].length, [found.index]);
      }
      for (const places of this.#runs.values()) places.reverse();
    }
    const places = this.#runs.get(length) ?? [];
    while (places.length && (places.at(-1) as number) < from) places.pop();
    return places.at(-1) ?? -1;
  }

  #delimiters(code: number): void {
    const text = this.#text;
    const start = this.#at;
    let end = start;
    while (text.charCodeAt(end) === code) end++;
    const count = end - start;
    const before = start ? charBefore(text, start) : "\n";
    const after = end < text.length ? String.fromCodePoint(text.codePointAt(end) as number) : "\n";
    const [spaceBefore, spaceAfter] = [/\s/.test(before), /\s/.test(after)];
    const [markBefore, markAfter] = [PUNCTUATION.test(before), PUNCTUATION.test(after)];
    const left = !spaceAfter && (!markAfter || spaceBefore || markBefore);
    const right = !spaceBefore && (!markBefore || spaceAfter || markAfter);
    this.#plain(count);
    if (code === 126 && count > 2) return;
    const canOpen = code === 95 ? left && (!right || markBefore) : left;
    const canClose = code === 95 ? right && (!left || markAfter) : right;
    if (canOpen || canClose) this.#emphasis.push({ item: this.#tail, code, count, canOpen, canClose });
  }

  #open(image: boolean): void {
    this.#plain(image ? 2 : 1);
    if (this.#brackets) this.#brackets.nested = true;
    const before = this.#emphasis.top;
    this.#brackets = { item: this.#tail, image, at: this.#at, active: true, nested: false, before, last: this.#brackets };
    this.#active++;
  }

  #pop(bracket: Bracket): void {
    this.#brackets = bracket.last;
    if (bracket.active) this.#active--;
  }

  #close(): void {
    const bracket = this.#brackets;
    const end = this.#at;
    if (!bracket) return this.#plain(1);
    const found = bracket.active ? (this.#inlineLink(end + 1) ?? this.#reference(bracket, end)) : undefined;
    this.#pop(bracket);
    if (!found) return this.#plain(1);
    this.#emphasis.pair(bracket.before);
    const kids = collect(bracket.item.next, undefined);
    this.#tail = bracket.item.last as Item;
    this.#tail.next = undefined;
    this.#push(bracket.image ? picture(found, kids) : link(found, kids));
    this.#at = found.end;
    if (bracket.image) return;
    // No links in links.
    for (let at = this.#brackets; at; at = at.last) {
      if (!at.image && at.active) {
        at.active = false;
        this.#active--;
      }
    }
  }

  #inlineLink(at: number): Target | undefined {
    const text = this.#text;
    if (text[at] !== "(") return undefined;
    const to = destination(text, skipSpace(text, at + 1));
    if (!to) return undefined;
    let end = skipSpace(text, to.end);
    const quoted = end > to.end ? titleAt(text, end) : undefined;
    if (quoted) end = skipSpace(text, quoted.end);
    return text[end] === ")" ? { href: to.text, title: quoted?.text ?? "", end: end + 1 } : undefined;
  }

  #reference(bracket: Bracket, end: number): Target | undefined {
    const text = this.#text;
    const behind = labelAt(text, end + 1);
    let name = "";
    if (behind > end + 3) name = text.slice(end + 2, behind - 1);
    else if (!bracket.nested) name = end - bracket.at <= 999 ? text.slice(bracket.at, end) : "";
    name = normalize(name);
    if (!name) return undefined;
    const known = this.#references.get(name, this.#user);
    return known && { ...known, end: behind > 0 ? behind : end + 1 };
  }

  #angle(): void {
    const text = this.#text;
    for (const [form, prefix] of [
      [AUTOLINK, ""],
      [EMAIL, "mailto:"],
    ] as const) {
      form.lastIndex = this.#at;
      const found = form.exec(text);
      if (!found) continue;
      const href = safeUrl(prefix + found[1]) ?? "";
      this.#push({ t: "a", href, title: "", c: [makeText(found[1] as string)], d: 1 });
      this.#at += found[0].length;
      return;
    }
    const length = this.#html();
    if (!length) {
      if (/[a-z/!?]/i.test(text[this.#at + 1] ?? "a")) this.#hazard = true;
      return this.#plain(1);
    }
    if (/^<br\s*\/?>$/i.test(text.slice(this.#at, this.#at + Math.min(length, 16)))) {
      this.#push({ t: "br", d: 0 });
      this.#at += length;
    } else this.#plain(length);
  }

  /** The length of raw HTML here. It is shown as it stands; Markdown in it does not count. */
  #html(): number {
    const text = this.#text;
    TAG.lastIndex = this.#at;
    const tag = TAG.exec(text);
    if (tag) return tag[0].length;
    for (const [open, close] of SPANS) {
      if (!text.startsWith(open, this.#at)) continue;
      if (!close) return open.length;
      return this.#until(close, this.#at + open.length);
    }
    return /^<![a-z]/i.test(text.slice(this.#at, this.#at + 3)) ? this.#until(">", this.#at) : 0;
  }

  #until(close: string, from: number): number {
    if (this.#missing?.has(close)) return 0;
    const end = this.#text.indexOf(close, from);
    if (end < 0) (this.#missing ??= new Set()).add(close);
    return end < 0 ? 0 : end + close.length - this.#at;
  }

  #entity(): void {
    const found = entityAt(this.#text, this.#at);
    if (!found) return this.#plain(1);
    this.#push(makeText(found.text));
    this.#at += found.length;
  }
}

interface Target {
  href: string;
  title: string;
  end: number;
}

const deepest = (kids: Inline[]): number => kids.reduce((most, kid) => Math.max(most, kid.d), 0);

function link({ href, title }: Target, c: Inline[]): Inline {
  return { t: "a", href: safeUrl(href) ?? "", title, c, d: deepest(c) + 1 };
}

function picture({ href, title }: Target, kids: Inline[]): Inline {
  const src = isInline(href) ? encode(href) : (safeUrl(href) ?? "");
  const depth = deepest(kids) + 1;
  return { t: "img", src, title, alt: depth > MAX_DEPTH ? "" : plainText(kids), d: depth };
}

/** What is left of inlines without their markup: a picture's alternative text. */
function plainText(kids: Inline[]): string {
  return kids
    .map((kid) => {
      if (kid.t === "text" || kid.t === "code") return kid.s;
      if (kid.t === "img") return kid.alt;
      return "c" in kid ? plainText(kid.c) : "";
    })
    .join("");
}

function charBefore(text: string, at: number): string {
  const code = text.charCodeAt(at - 1);
  return (code & 0xfc00) === 0xdc00 && at > 1 ? text.slice(at - 2, at) : (text[at - 1] as string);
}
