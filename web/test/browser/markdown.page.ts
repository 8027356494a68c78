/** Runs in the page of `markdown.test.ts`: readings compared in the real DOM. */
import { MarkdownStream } from "../../src/markdown/index.ts";

/** The structure as CommonMark writes it: without what the renderer adds for layout, safety and direction. */
function structure(node: Node): string {
  if (node instanceof Text) return escape(node.data);
  if (!(node instanceof HTMLElement)) return "";
  const kids = (): string => [...node.childNodes].map(structure).join("");
  const tag = node.localName;
  if (node.classList.contains("tg-image")) {
    const { src = "", alt = "", title } = node.dataset;
    return `<img src="${escape(src)}" alt="${escape(alt)}"${title ? ` title="${escape(title)}"` : ""} />`;
  }
  if (tag === "div" || tag === "span") return kids();
  if (tag === "p" && node.parentElement?.localName === "li" && node.parentElement.parentElement?.classList.contains("tight")) return `${kids()}\n`;
  if (tag === "br" || tag === "hr") return `<${tag} />`;
  if (tag === "tbody" && !node.firstChild) return "";
  const names = ["href", "title", "start", "checked", "src", "alt"].filter((name) => node.hasAttribute(name));
  if (tag === "a" && !node.hasAttribute("href")) names.push("href");
  if (tag === "code" && node.className) names.push("class");
  return `<${tag}${names.map((name) => ` ${name}="${escape(node.getAttribute(name) ?? "")}"`).join("")}>${kids()}</${tag}>`;
}

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

const root = document.querySelector("main") as HTMLElement;

/** What a reader sees, by whatever way it came there. Styles are measured, not read. */
function seen(at: HTMLElement): string {
  const copy = at.cloneNode(true) as HTMLElement;
  for (const each of copy.querySelectorAll("[style]")) each.removeAttribute("style");
  copy.normalize();
  return copy.innerHTML;
}

function stage(): HTMLElement {
  const at = document.createElement("div");
  root.append(at);
  return at;
}

function whole(text: string, end: boolean): string {
  const at = document.createElement("div");
  const stream = new MarkdownStream(at, { paint: "never", highlight: false });
  stream.write(text);
  if (end) stream.end();
  else stream.paint();
  return seen(at);
}

/** The numbers of a linear congruential generator, the same in every run. */
function random(seed: number): () => number {
  return () => (seed = (seed * 1664525 + 1013904223) >>> 0) / 2 ** 32;
}

const api = {
  /** A text fed and painted character by character, as CommonMark's examples are written. */
  typed(text: string, bareLinks: boolean): string {
    const at = stage();
    const stream = new MarkdownStream(at, { paint: "never", bareLinks });
    for (const char of text) {
      stream.write(char);
      stream.paint();
    }
    stream.end();
    const html = [...at.childNodes].map(structure).join("");
    at.remove();
    return html;
  },

  /** Prefixes at which the painted DOM is not that of a fresh reading. `step` > 1 leaves out some. */
  prefixes(text: string, step = 1): { checked: number; different: { prefix: string; painted: string; fresh: string }[] } {
    const at = document.createElement("div");
    const stream = new MarkdownStream(at, { paint: "never", highlight: false });
    const different = [];
    let checked = 0;
    for (let end = 0; end < text.length; end += step) {
      stream.write(text.slice(end, end + step));
      stream.paint();
      const prefix = text.slice(0, end + step);
      const [painted, fresh] = [seen(at), whole(prefix, false)];
      // The end changes nothing either; looked at now and then, since each look reads everything.
      const ended = checked++ % 8 ? fresh : whole(prefix, true);
      if (painted !== fresh || painted !== ended) different.push({ prefix, painted, fresh: painted === fresh ? ended : fresh });
    }
    stream.end();
    if (seen(at) !== whole(text, true)) different.push({ prefix: `${text} (ended)`, painted: seen(at), fresh: whole(text, true) });
    at.remove();
    return { checked, different: different.slice(0, 3) };
  },

  /** Random documents of nasty pieces, cut at random, each compared at every cut. */
  documents(count: number, seed: number, pieces: string[]): { checked: number; different: object[] } {
    const rand = random(seed);
    let checked = 0;
    const different: object[] = [];
    for (let round = 0; round < count; round++) {
      let text = "";
      for (let left = 4 + Math.floor(rand() * 40); left > 0; left--) text += pieces[Math.floor(rand() * pieces.length)];
      const at = document.createElement("div");
      const stream = new MarkdownStream(at, { paint: "never", highlight: false });
      for (let end = 0; end < text.length; ) {
        const next = Math.min(text.length, end + 1 + Math.floor(rand() * 12));
        stream.write(text.slice(end, next));
        stream.paint();
        end = next;
        checked++;
        const [painted, fresh] = [seen(at), whole(text.slice(0, end), false)];
        if (painted !== fresh && different.length < 3) different.push({ prefix: text.slice(0, end), painted, fresh });
      }
      stream.end();
      if (seen(at) !== whole(text, true) && different.length < 3) different.push({ ended: text, painted: seen(at), fresh: whole(text, true) });
      at.remove();
    }
    return { checked, different };
  },

  /** Blocks that were removed after a later sibling had appeared: none may. */
  removed(text: string, step: number): { frames: number; removed: string[]; kept: boolean } {
    const at = stage();
    const removed: string[] = [];
    const stream = new MarkdownStream(at, { paint: "never" });
    const settled = new Set<Node>();
    let frames = 0;
    for (let end = 0; end < text.length; end += step) {
      const before = [...at.children].slice(0, -2);
      for (const node of before) settled.add(node);
      stream.write(text.slice(end, end + step));
      stream.paint();
      frames++;
      for (const node of settled) if (node.parentNode !== at) removed.push((node as HTMLElement).outerHTML.slice(0, 80));
    }
    stream.end();
    const kept = [...settled].every((node) => node.parentNode === at);
    at.remove();
    return { frames, removed: removed.slice(0, 3), kept };
  },

  /** Select the first paragraph, and then a code block, as soon as each is settled, while the rest comes. */
  async select(text: string): Promise<string> {
    root.replaceChildren();
    const at = stage();
    const stream = new MarkdownStream(at, { paint: "never" });
    const found: string[] = [];
    for (const [end, selector] of [[30, "p"], [text.length - 3, "code"]] as const) {
      stream.write(text.slice(stream.length, end));
      stream.paint();
      getSelection()?.selectAllChildren(at.querySelector(selector) as Element);
      stream.write(text.slice(end, end + 3));
      stream.paint();
      await new Promise((wake) => setTimeout(wake, 200));
      found.push(getSelection()?.toString().replace(/\n?$/, selector === "code" ? "\n" : "") ?? "");
    }
    return `${found.join("|")}|${at.querySelectorAll(".tg-keyword").length}`;
  },

  /** Render a text in pieces and leave it on the page. */
  show(text: string, step: number): void {
    root.replaceChildren();
    const stream = new MarkdownStream(stage(), { paint: "never" });
    for (let end = 0; end < text.length; end += step) {
      stream.write(text.slice(end, end + step));
      stream.paint();
    }
    stream.end();
  },
};
export type Api = typeof api;
(globalThis as unknown as { api: Api }).api = api;
