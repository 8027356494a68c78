/**
 * Markdown on the screen while it is being written: CommonMark with GitHub's tables, strikethrough, task lists and
 * autolinks. What is painted after any prefix is what a fresh reading of that prefix would show; what is settled never
 * moves.
 *
 * ```ts
 * const answer = new MarkdownStream(document.querySelector("#answer"));
 * for await (const event of stream) if (event.type === "text") answer.write(event.text);
 * answer.end();
 * ```
 */
import { Blocks } from "./blocks.ts";
import { highlight } from "./highlight.ts";
import { Painter, type PainterOptions } from "./paint.ts";
import { References } from "./references.ts";

export { safeUrl } from "./urls.ts";

export interface MarkdownOptions extends Partial<PainterOptions> {
  /** Colour code when its fence is complete (default true). */
  highlight?: boolean;
  /** When to paint after a `write`: `"frame"`, the default, once a frame; `"never"` only when `paint` is called. */
  paint?: "frame" | "never";
}

/** Milliseconds between two paints of a page that nobody sees. */
const HIDDEN = 1000;
/** Milliseconds of one paint from which on frames are left out, so that input keeps its share. */
const HEAVY = 8;
/** Characters of one unfinished paragraph for which another frame is left out. */
const LONG = 10_000;

export class MarkdownStream {
  readonly #references = new References();
  readonly #blocks = new Blocks(this.#references);
  readonly #painter: Painter;
  readonly #automatic: boolean;
  // Not yet read lines: pieces of the last, unfinished one, and whole ones before it.
  #pieces: string[] = [];
  #ended = false;
  #timer = 0;
  #frame = 0;
  #skip = 0;
  #watching = false;
  /** Characters written. */
  length = 0;

  /** @param root an element of its own; what is in it is removed. */
  constructor(root: HTMLElement, options: MarkdownOptions = {}) {
    root.replaceChildren();
    root.classList.add("tg-markdown");
    const { images = "click", bareLinks = true, onCode, onCodeClosed = options.highlight === false ? undefined : highlight } = options;
    this.#painter = new Painter(root, this.#references, { images, bareLinks, onCode, onCodeClosed });
    this.#automatic = options.paint !== "never";
  }

  /** More text. It is painted with the next frame. */
  write(text: string): void {
    if (this.#ended || !text) return;
    this.length += text.length;
    this.#pieces.push(text);
    if (this.#automatic) this.#schedule();
  }

  /** No more comes: everything is painted and settled. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#frame) cancelAnimationFrame(this.#frame);
    this.#unschedule();
    document.removeEventListener("visibilitychange", this.#hidden);
    const rest = this.#read();
    if (rest) this.#blocks.line(rest);
    this.#blocks.finish();
    this.#painter.paint(this.#blocks.root, undefined, "");
  }

  /** Paint what was written, now. */
  paint(): void {
    if (this.#ended) return;
    this.#unschedule();
    const began = performance.now();
    const rest = this.#read();
    if (rest) this.#blocks.speculate(rest);
    const open = this.#blocks.openParagraph;
    this.#references.speculate();
    const text = open ? this.#references.strip(open.text) : "";
    this.#painter.paint(this.#blocks.root, open, text);
    const heavy = Math.floor((performance.now() - began) / HEAVY);
    // The browser lays a paragraph out as a whole, however little was added to it.
    this.#skip = Math.min(5, Math.max(heavy, Math.floor((open?.text.length ?? 0) / LONG)));
  }

  /** Read the whole lines that were written; the unfinished one comes back. */
  #read(): string {
    this.#blocks.undo();
    const text = this.#pieces.join("");
    const lines = text.split("\n");
    let rest = lines.pop() as string;
    for (const line of lines) this.#lines(line.endsWith("\r") ? line.slice(0, -1) : line);
    this.#pieces = [rest];
    // A CR at the end may be half a line end, and ends the line in any case.
    if (rest.includes("\r")) {
      const cut = rest.lastIndexOf("\r", rest.length - 2) + 1;
      if (cut) this.#lines(rest.slice(0, cut - 1));
      rest = rest.slice(cut);
      this.#pieces = [rest];
      if (rest.endsWith("\r")) rest = rest.slice(0, -1);
    }
    return rest;
  }

  #lines(text: string): void {
    if (!text.includes("\r")) return this.#blocks.line(text);
    for (const line of text.split("\r")) this.#blocks.line(line);
  }

  #schedule(): void {
    if (this.#frame || this.#timer) return;
    if (document.visibilityState === "hidden") {
      this.#timer = setTimeout(() => this.paint(), HIDDEN) as unknown as number;
      return;
    }
    if (!this.#watching) document.addEventListener("visibilitychange", this.#hidden);
    this.#watching = true;
    this.#frame = requestAnimationFrame(this.#next);
  }

  readonly #next = (): void => {
    if (this.#skip-- > 0) this.#frame = requestAnimationFrame(this.#next);
    else this.paint();
  };

  /** A tab that gets hidden has no frames: what waits for one is painted now. */
  readonly #hidden = (): void => {
    if (this.#frame) this.paint();
  };

  #unschedule(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = this.#frame = 0;
  }
}
