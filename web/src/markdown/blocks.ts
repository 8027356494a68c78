/**
 * The block structure of a Markdown text, built line by line: the algorithm of the CommonMark specification's appendix,
 * which is incremental by itself (a line touches only the open blocks), with GitHub's tables.
 *
 * The last line of a stream is usually half a line. `speculate` reads it as if it were whole; `undo` takes it back
 * before the next one. Only open blocks can change, so a snapshot is as small as the nesting is deep.
 *
 * Not as the specification says: raw HTML has no blocks of its own (it is shown as text, and Markdown in it counts),
 * and past 40 levels of nesting markers are text.
 */
import { block, openChild, isBlank, trimClosing, type Block, type Kind } from "./block.ts";
import { isDelimiterRow, splitRow } from "./tables.ts";
import { References } from "./references.ts";

export type { Block, Kind } from "./block.ts";

const MAX_DEPTH = 40;
const TAB = 4;
/** Line starts that can begin something; a line without them is text. */
const SPECIAL = /[#`~*+_=<>0-9|:-]/;
const CONTAINS: Partial<Record<Kind, (kind: Kind) => boolean>> = {
  document: (kind) => kind !== "item" && kind !== "row",
  quote: (kind) => kind !== "item" && kind !== "row",
  item: (kind) => kind !== "item" && kind !== "row",
  list: (kind) => kind === "item",
  table: (kind) => kind === "row",
};

interface Saved {
  block: Block;
  copy: Block;
  children: number;
  last: Block | undefined;
  lines: number;
}

export class Blocks {
  readonly root = block("document", null, 0);
  readonly references: References;
  #tip = this.root;
  #line = "";
  #number = 0;
  // Where in the line we are. A tab may be used up in part.
  #at = 0;
  #column = 0;
  #inTab = false;
  #next = 0;
  #indent = 0;
  #blank = false;
  // The deepest block that this line continues, and the tip before it.
  #container = this.root;
  #oldTip = this.root;
  #closed = true;
  #saved: Saved[] | undefined;
  #savedTip = this.root;

  constructor(references: References) {
    this.references = references;
  }

  /** A whole line, without its end. */
  line(text: string): void {
    this.#take(text);
  }

  /** The half-written last line, as if it were whole. At most one at a time. */
  speculate(text: string): void {
    this.#saved = [];
    this.#savedTip = this.#tip;
    for (let at: Block | undefined = this.root; at; at = openChild(at)) {
      const { children, lines } = at;
      this.#saved.push({ block: at, copy: { ...at }, children: children.length, last: children.at(-1), lines: lines.length });
    }
    this.references.speculate();
    this.#take(text);
    this.#number--;
  }

  /** Take the speculative line back. */
  undo(): void {
    this.references.undo();
    if (!this.#saved) return;
    for (const { block: at, copy, children, last, lines } of this.#saved) {
      Object.assign(at, copy);
      at.children.length = children;
      if (last) at.children[children - 1] = last;
      at.lines.length = lines;
    }
    this.#tip = this.#savedTip;
    this.#saved = undefined;
  }

  /** No line follows: everything is closed. */
  finish(): void {
    for (let at: Block | null = this.#tip; at; at = at.parent) this.#close(at, this.#number);
  }

  /** The open paragraph that would be a definition if the text ended here. */
  get openParagraph(): Block | undefined {
    return this.#tip.kind === "paragraph" && this.#tip.open ? this.#tip : undefined;
  }

  #take(text: string): void {
    this.#line = text.includes("\0") ? text.replaceAll("\0", "\ufffd") : text;
    this.#number++;
    this.#at = this.#column = 0;
    this.#inTab = false;
    this.#oldTip = this.#tip;
    if (!this.#continueOpen()) return;
    this.#closed = this.#container === this.#oldTip;
    const fresh = this.#openNew();
    const container = this.#container;
    if (fresh === "whole") return;
    if (!this.#closed && !this.#blank && this.#tip.kind === "paragraph") return this.#addText(this.#tip); // lazy
    this.#closeUnmatched();
    if (container.kind === "code") this.#addCode(container);
    else if (container.kind === "paragraph") this.#addText(container);
    else if (container.kind === "table" && !this.#blank) this.#addRow(container, this.#line.slice(this.#next));
    else if (!this.#blank && this.#at < this.#line.length && container.kind !== "heading" && container.kind !== "rule") {
      this.#addText(this.#add("paragraph"));
    }
  }

  /** Follow the open blocks as far as the line continues them. False when a closing fence used it up. */
  #continueOpen(): boolean {
    this.#container = this.root;
    for (let child = openChild(this.root); child; child = openChild(child)) {
      this.#find();
      const goes = this.#continues(child);
      if (goes === "closes") {
        this.#close(child, this.#number);
        this.#tip = child.parent as Block;
        return false;
      }
      if (!goes) break;
      this.#container = child;
    }
    return true;
  }

  #continues(at: Block): boolean | "closes" {
    switch (at.kind) {
      case "list":
        return true;
      case "quote":
        return this.#quoteMarker();
      case "item":
        if (this.#blank) {
          if (!at.children.length) return false;
          this.#skip();
          return true;
        }
        if (this.#indent < at.offset + at.padding) return false;
        this.#columns(at.offset + at.padding);
        return true;
      case "code":
        return this.#codeContinues(at);
      case "paragraph":
      case "table":
        return !this.#blank;
      default:
        return false;
    }
  }

  #quoteMarker(): boolean {
    if (this.#indent >= TAB || this.#line[this.#next] !== ">") return false;
    this.#skip();
    this.#advance(1);
    if (isBlank(this.#line.charCodeAt(this.#at))) this.#columns(1);
    return true;
  }

  #codeContinues(at: Block): boolean | "closes" {
    if (!at.fence) {
      if (this.#indent >= TAB) this.#columns(TAB);
      else if (this.#blank) this.#skip();
      else return false;
      return true;
    }
    if (this.#indent < TAB && this.#line[this.#next] === at.fence) {
      const found = /^(`{3,}|~{3,})[ \t]*$/.exec(this.#line.slice(this.#next));
      if (found && (found[1] as string).length >= at.width) return "closes";
    }
    for (let left = at.offset; left > 0 && isBlank(this.#line.charCodeAt(this.#at)); left--) this.#columns(1);
    return true;
  }

  /** Open what this line begins. `whole` when nothing of the line is left to add. */
  #openNew(): "whole" | undefined {
    for (;;) {
      const container = this.#container;
      this.#find();
      if (container.kind === "code") return undefined;
      if (this.#indent < TAB && !SPECIAL.test(this.#line[this.#next] ?? "")) {
        this.#skip();
        return undefined;
      }
      const opened = this.#start();
      if (opened === "leaf") return "whole";
      if (opened === "code") return undefined;
      if (!opened) {
        this.#skip();
        return undefined;
      }
    }
  }

  #start(): "container" | "leaf" | "code" | undefined {
    const rest = this.#line.slice(this.#next);
    if (this.#indent >= TAB) {
      if (this.#tip.kind === "paragraph" || this.#blank) return undefined;
      this.#columns(TAB);
      this.#closeUnmatched();
      this.#container = this.#add("code");
      return "code";
    }
    const deep = this.#container.depth >= MAX_DEPTH;
    if (rest[0] === ">" && !deep) {
      this.#quoteMarker();
      this.#closeUnmatched();
      this.#container = this.#add("quote");
      return "container";
    }
    if (this.#heading(rest) || this.#fence(rest) || this.#setext(rest) || this.#rule(rest)) return "leaf";
    if (!deep && this.#item(rest)) return "container";
    return this.#table(rest) ? "leaf" : undefined;
  }

  #heading(rest: string): boolean {
    const found = /^(#{1,6})(?:[ \t]+|$)/.exec(rest);
    if (!found) return false;
    this.#closeUnmatched();
    const at = this.#add("heading");
    at.level = (found[1] as string).length;
    at.text = trimClosing(rest.slice(found[0].length));
    return true;
  }

  #fence(rest: string): boolean {
    const found = /^(?:(`{3,})([^`]*)|(~{3,})(.*))$/.exec(rest);
    if (!found) return false;
    this.#closeUnmatched();
    const at = this.#add("code");
    const run = (found[1] ?? found[3]) as string;
    at.fence = run[0] as string;
    at.width = run.length;
    at.offset = this.#indent;
    at.info = (found[2] ?? found[4] ?? "").trim();
    return true;
  }

  #setext(rest: string): boolean {
    const at = this.#container;
    if (at.kind !== "paragraph") return false;
    const first = rest.charCodeAt(0);
    if ((first !== 61 && first !== 45) || !/^(?:=+|-+)[ \t]*$/.test(rest)) return false;
    const text = this.references.strip(at.text);
    if (!text) return false;
    this.#closeUnmatched();
    at.kind = "heading";
    at.level = first === 61 ? 1 : 2;
    at.text = text;
    return true;
  }

  #rule(rest: string): boolean {
    if (!/^(?:(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:-[ \t]*){3,})$/.test(rest)) return false;
    this.#closeUnmatched();
    this.#add("rule");
    return true;
  }

  #item(rest: string): boolean {
    const found = /^(?:([*+-])|(\d{1,9})([.)]))(?=[ \t]|$)/.exec(rest);
    if (!found) return false;
    const empty = !rest.slice(found[0].length).trim();
    // Only a list that begins with text and with 1 may interrupt a paragraph.
    if (this.#container.kind === "paragraph" && (empty || (found[2] && Number(found[2]) !== 1))) return false;
    const offset = this.#indent;
    this.#skip();
    this.#advance(found[0].length);
    const padding = found[0].length + this.#itemIndent(empty);
    this.#closeUnmatched();
    const marker = (found[1] ?? found[3]) as string;
    const ordered = found[2] !== undefined;
    let list = this.#container;
    if (list.kind !== "list" || list.marker !== marker || list.ordered !== ordered) {
      list = this.#add("list");
      Object.assign(list, { marker, ordered, first: ordered ? Number(found[2]) : 1 });
    }
    this.#container = list;
    this.#container = this.#add("item");
    Object.assign(this.#container, { marker, ordered, offset, padding });
    return true;
  }

  /** Columns of white space that belong to the marker: 1, unless 1 to 4 are there. */
  #itemIndent(empty: boolean): number {
    const [at, column, inTab] = [this.#at, this.#column, this.#inTab];
    let spaces = 0;
    while (spaces < TAB + 1 && isBlank(this.#line.charCodeAt(this.#at))) {
      this.#columns(1);
      spaces = this.#column - column;
    }
    if (spaces >= 1 && spaces <= TAB && !empty) return spaces;
    [this.#at, this.#column, this.#inTab] = [at, column, inTab];
    if (isBlank(this.#line.charCodeAt(this.#at))) this.#columns(1);
    return 1;
  }

  #table(rest: string): boolean {
    const at = this.#container;
    if (at.kind !== "paragraph" || !isDelimiterRow(rest)) return false;
    const text = at.text.trimEnd();
    const cut = text.lastIndexOf("\n") + 1;
    const header = text.slice(cut);
    const align = splitRow(rest).map((cell) => (cell.startsWith(":") ? (cell.endsWith(":") ? "center" : "left") : cell.endsWith(":") ? "right" : ""));
    if (splitRow(header).length !== align.length || align.length > 128) return false;
    this.#closeUnmatched();
    let table = at;
    if (cut) {
      at.text = text.slice(0, cut);
      table = this.#add("table");
    } else {
      at.kind = "table";
      at.text = "";
    }
    this.#container = table;
    table.align = align;
    this.#addRow(table, header);
    return true;
  }

  #addRow(table: Block, text: string): void {
    const row = block("row", table, this.#number);
    row.text = text;
    row.open = false;
    row.done = !this.#saved;
    table.children.push(row);
  }

  #addText(at: Block): void {
    at.text += `${this.#line.slice(this.#at)}\n`;
  }

  #addCode(at: Block): void {
    let text = this.#line.slice(this.#at);
    if (this.#inTab) text = " ".repeat(TAB - (this.#column % TAB)) + text.slice(1);
    at.lines.push(text);
    if (at.fence || text.trim()) at.solid = at.lines.length;
  }

  #add(kind: Kind): Block {
    while (!CONTAINS[this.#tip.kind]?.(kind)) {
      this.#close(this.#tip, this.#number - 1);
      this.#tip = this.#tip.parent as Block;
    }
    const parent = this.#tip;
    const last = parent.children.at(-1);
    if (last && last.end !== this.#number - 1) {
      if (parent.kind === "list") parent.loose = true;
      else if (parent.kind === "item") (parent.parent as Block).loose = true;
    }
    const at = block(kind, parent, this.#number);
    parent.children.push(at);
    this.#tip = at;
    return at;
  }

  #closeUnmatched(): void {
    if (this.#closed) return;
    while (this.#oldTip !== this.#container) {
      const parent = this.#oldTip.parent as Block;
      this.#close(this.#oldTip, this.#number - 1);
      this.#oldTip = parent;
    }
    this.#tip = this.#container;
    this.#closed = true;
  }

  #close(at: Block, line: number): void {
    if (!at.open) return;
    at.open = false;
    at.done = !this.#saved;
    at.end = line;
    if (at.kind === "item" || at.kind === "list") at.end = at.children.at(-1)?.end ?? at.start;
    else if (at.kind === "code" && !at.fence) at.end = at.start + at.solid - 1;
    else if (at.kind === "paragraph") {
      at.text = this.references.strip(at.text);
      if (!at.text) (at.parent as Block).children.pop();
    }
  }

  /** Where the text of the rest begins. */
  #find(): void {
    const line = this.#line;
    let column = this.#column;
    let at = this.#at;
    for (; at < line.length; at++) {
      const code = line.charCodeAt(at);
      if (code === 32) column++;
      else if (code === 9) column += TAB - (column % TAB);
      else break;
    }
    this.#next = at;
    this.#indent = column - this.#column;
    this.#blank = at >= line.length;
  }

  #skip(): void {
    this.#column += this.#indent;
    this.#at = this.#next;
    this.#indent = 0;
    this.#inTab = false;
  }

  #advance(characters: number): void {
    this.#at += characters;
    this.#column += characters;
    this.#inTab = false;
  }

  /** Go on by columns of white space; a tab may be used up in part. */
  #columns(count: number): void {
    while (count > 0 && this.#at < this.#line.length) {
      if (this.#line.charCodeAt(this.#at) !== 9) {
        this.#at++;
        this.#column++;
        count--;
        this.#inTab = false;
        continue;
      }
      const width = TAB - (this.#column % TAB);
      const used = Math.min(width, count);
      this.#inTab = width > count;
      this.#column += used;
      if (!this.#inTab) this.#at++;
      count -= used;
    }
  }
}
