/** What the reader of one stream saw, told to the gateway once: times and counts by name, never text. */
import type { StreamEnd } from "./ends.ts";

/** Milliseconds between two tokens from which on a reader notices. */
const GAP = 50;

export class Seen {
  readonly #began = performance.now();
  #head = 0;
  #delta = 0;
  #paint = 0;
  #last = 0;
  #gaps = 0;
  #worst = 0;
  #queued = 0;
  #sent = false;
  /** UTF-16 units that arrived, and that were shown. */
  received = 0;
  shown: number | undefined;

  queued(ms: number): void {
    this.#queued = ms;
  }

  head(): void {
    this.#head ||= performance.now();
  }

  tokens(now: number): void {
    const gap = this.#last ? now - this.#last : 0;
    this.#last = now;
    if (gap > GAP) this.#gaps++;
    this.#worst = Math.max(this.#worst, gap);
    if (this.#delta) return;
    this.#delta = now;
    // Two frames on, what was written in this one or at its end is on the screen.
    if (typeof requestAnimationFrame === "function")
      requestAnimationFrame(() => requestAnimationFrame(() => (this.#paint = performance.now())));
  }

  /** Times in seconds, as everything that the gateway tells. */
  figures(end: StreamEnd | "left"): Record<string, number | boolean> {
    const since = (at: number, from = this.#began): number | null => (at ? Math.round(at - from) / 1000 : null);
    const all: Record<string, number | boolean | null> = {
      headers: since(this.#head),
      first_delta: since(this.#delta),
      first_paint: since(this.#paint),
      delta_to_paint: this.#paint ? since(this.#paint, this.#delta) : null,
      gaps: this.#gaps,
      worst_gap: Math.round(this.#worst) / 1000,
      queued: Math.round(this.#queued) / 1000,
      received: this.received,
      shown: this.shown ?? this.received,
      [kindOf(end)]: true,
    };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)) as Record<string, number | boolean>;
  }

  /** Once; a page that is about to go may still send it. A report that is lost hurts nobody. */
  send(url: string, headers: Record<string, string>, end: StreamEnd | "left"): void {
    if (this.#sent) return;
    this.#sent = true;
    const body = JSON.stringify(this.figures(end));
    const key = Object.keys(headers).find((name) => name.toLowerCase() === "authorization");
    // A beacon carries no key; a text body spares other origins the preflight.
    if (!key && typeof navigator !== "undefined" && navigator.sendBeacon?.(url, body)) return;
    const authorization: Record<string, string> = key ? { authorization: headers[key] as string } : {};
    fetch(url, { method: "POST", headers: authorization, body, keepalive: true }).then(
      (response) => response.body?.cancel(),
      () => {},
    );
  }
}

/** The reader's end: what the gateway makes its completion ratio of. */
function kindOf(end: StreamEnd | "left"): string {
  if (end === "left" || end === "cut" || end === "stopped") return end;
  if (end === "cancelled") return "stopped";
  return end === "stalled" || end === "error" ? "failed" : "finished";
}
