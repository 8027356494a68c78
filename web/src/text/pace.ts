/**
 * How much of the waiting text to show in a frame. Text that comes evenly is never slowed. Bursts (more than 40
 * characters after a silence of more than 120 ms) are drained exponentially, with a time constant of at most 80 ms: a
 * median delay of 65 ms against jumps of 150 characters.
 */

const TAU = 80;
const BURST_GAP = 120;
const BURST_SIZE = 40;
/** Characters a second from which on smoothing would only lag (about 500 tokens). */
const FAST = 2000;

export class Pace {
  #arrived = 0;
  #bursty = false;
  #rate = 0;
  #frame = 0;
  #shown = false;

  /** `size` characters have arrived. */
  arrived(size: number, now: number): void {
    const gap = this.#arrived ? now - this.#arrived : Infinity;
    this.#arrived = now;
    this.#rate = gap === Infinity ? 0 : 0.8 * this.#rate + 0.2 * ((size / Math.max(gap, 1)) * 1000);
    if (gap > BURST_GAP) this.#bursty = size > BURST_SIZE;
  }

  /** How many of `waiting` characters to show now. The first ones at once, if only one. */
  take(waiting: number, now: number): number {
    const passed = this.#frame ? Math.min(now - this.#frame, TAU) : 16.7;
    this.#frame = now;
    if (!this.#bursty || this.#rate > FAST) return waiting;
    const part = Math.ceil(waiting * (1 - Math.exp(-passed / TAU)));
    const least = this.#shown ? 1 : Math.min(waiting, 1);
    this.#shown = true;
    return Math.min(waiting, Math.max(part, least));
  }
}
