/**
 * Text on its way to the screen: whole grapheme clusters, one write a frame, and, where it comes in bursts, at an even
 * pace.
 *
 * ```ts
 * const paced = new PacedText((text) => answer.append(text));
 * for await (const event of stream) if (event.type === "text") paced.push(event.text);
 * paced.end();
 * ```
 */
import { Pace } from "./pace.ts";
import { wholeUntil } from "./graphemes.ts";

export { warm, wholeUntil } from "./graphemes.ts";
export { Pace } from "./pace.ts";

export interface PacedOptions {
  /** `"auto"` spreads bursts over the time to the next one; `false`, the default, shows what is there. */
  smooth?: "auto" | false;
}

/** What schedules a frame, and what time it is: replaced by a test. */
export interface Frames {
  now(): number;
  /** Call back before the next paint; while nothing is painted (a hidden tab), once a second. */
  next(callback: () => void): void;
  after(ms: number, callback: () => void): unknown;
}

/** Milliseconds that a cluster which could still grow is held. */
const HOLD = 100;
/** Milliseconds between two writes to a page that nobody sees. */
const HIDDEN = 1000;

/** Of every text on the page: one frame is asked for, however many there are. */
let waiting: (() => void)[] = [];

const browser: Frames = {
  now: () => performance.now(),
  next(callback) {
    if (waiting.push(callback) > 1) return;
    // A tab that is hidden meanwhile has no frames: whatever comes first.
    const timer = setTimeout(() => turn(), HIDDEN);
    const frame = document.visibilityState === "hidden" ? 0 : requestAnimationFrame(() => turn());
    const turn = (): void => {
      clearTimeout(timer);
      cancelAnimationFrame(frame);
      const due = waiting;
      waiting = [];
      for (const each of due) {
        try {
          each();
        } catch (error) {
          reportError(error); // one text's; the others are written
        }
      }
    };
  },
  after: (ms, callback) => setTimeout(callback, ms),
};

export class PacedText {
  readonly #write: (text: string) => void;
  readonly #frames: Frames;
  readonly #pace: Pace | undefined;
  // Arrived and not written; what of it is held as half a cluster since when.
  #waiting = "";
  #heldSince = 0;
  #scheduled = false;
  #ended = false;

  /** @param write is given whole clusters, at most once a frame. */
  constructor(write: (text: string) => void, options: PacedOptions = {}, frames: Frames = browser) {
    this.#write = write;
    this.#frames = frames;
    const still = typeof matchMedia === "function" && matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (options.smooth === "auto" && !still) this.#pace = new Pace();
  }

  push(text: string): void {
    if (!text) return;
    this.#waiting += text;
    this.#pace?.arrived(text.length, this.#frames.now());
    this.#schedule();
  }

  /** No more comes: what is left is written with the next frame. */
  end(): void {
    this.#ended = true;
    this.#schedule();
  }

  /** Write everything now, half clusters too. */
  flush(): void {
    const text = this.#waiting;
    this.#waiting = "";
    this.#heldSince = 0;
    if (text) this.#write(text);
  }

  #schedule(): void {
    if (this.#scheduled || !this.#waiting) return;
    this.#scheduled = true;
    this.#frames.next(() => {
      this.#scheduled = false;
      this.#frame();
    });
  }

  #frame(): void {
    if (this.#ended) return this.flush();
    const now = this.#frames.now();
    const allowed = this.#pace ? this.#pace.take(this.#waiting.length, now) : this.#waiting.length;
    const text = this.#waiting.slice(0, allowed);
    let whole = wholeUntil(text);
    if (whole < text.length && allowed === this.#waiting.length) whole = this.#held(text, whole, now);
    else if (allowed === this.#waiting.length) this.#heldSince = 0;
    this.#waiting = this.#waiting.slice(whole);
    if (whole) this.#write(text.slice(0, whole));
    if (this.#waiting.length > (this.#heldSince ? text.length - whole : 0)) this.#schedule();
  }

  /** How much to write although its last cluster may be half: all of it, once it has been held long enough. */
  #held(text: string, whole: number, now: number): number {
    if (whole || !this.#heldSince) {
      this.#heldSince = now;
      this.#frames.after(HOLD, () => this.#schedule());
      return whole;
    }
    if (now - this.#heldSince < HOLD) return whole;
    this.#heldSince = 0;
    return text.length;
  }
}
