/** One stream, from its request to its one end. */
import { baseOf, type StreamConfig } from "./config.ts";
import type { StreamEvent } from "./dialect.ts";
import { endOfCode, endOfReason, StreamError, type StreamEnd, type StreamResult } from "./ends.ts";
import { Seen } from "./seen.ts";
import { place } from "./slots.ts";
import { append, type WireMessage } from "./transport.ts";
import { readIn } from "./workers.ts";

export type StreamState = "queued" | "connecting" | "waiting" | "streaming" | "ended";

/** What is told while it runs. */
export interface StreamHandlers {
  /** Some events, one or more, at most once in `chunkThrottle` milliseconds. */
  events?(events: StreamEvent[], stream: LLMStream): void;
  /** `queued`, `connecting`, `waiting` (for the first token), `streaming`, `ended`. */
  state?(state: StreamState, stream: LLMStream): void;
}

/** Statuses that may be different the next time. */
const AGAIN = new Set([408, 409, 425, 429, 500, 502, 503, 504]);
/** Seconds of a `Retry-After` that somebody would sit through. */
const PATIENCE = 20;

export class LLMStream implements AsyncIterable<StreamEvent> {
  state: StreamState = "connecting";
  /** The place in the queue while `queued`: 1 is the next. */
  place = 0;
  /** The gateway's id; `undefined` before its answer, and with servers that give none. */
  id: string | undefined;
  text = "";
  reasoning = "";
  /** The end, good or bad. Never rejects: what went wrong is its `error`. */
  readonly result: Promise<StreamResult>;
  /** How many characters are on the screen, if somebody counts: for the report. */
  shown: number | undefined;

  readonly #config: StreamConfig;
  readonly #base: string | undefined;
  readonly #handlers: StreamHandlers;
  readonly #abort = new AbortController();
  readonly #seen = new Seen();
  readonly #began = performance.now();
  readonly #partial: StreamResult = { end: "error", text: "", reasoning: "", toolCalls: [], tokens: 0, malformed: 0, retries: 0 };
  #resolve!: (result: StreamResult) => void;
  #ended = false;
  #asked = 0; // when somebody asked for an end
  #stopping: Promise<void> | undefined;
  #first = 0;
  #last = 0;
  #finish = "";
  #failed: StreamError | undefined;
  #gateway: string | undefined;
  // What happens when nothing is heard until `due`; the timer may be set for sooner, and then looks again.
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wakes = 0;
  #due = 0;
  #then = (): void => {};
  // For `for await`: what it has not taken yet, and what wakes it.
  #unread: StreamEvent[] = [];
  #iterated = false;
  #wake: (() => void) | undefined;

  constructor(payload: object, config: StreamConfig, handlers: StreamHandlers = {}) {
    this.#config = config;
    this.#handlers = handlers;
    const here = typeof location === "undefined" ? undefined : document.baseURI;
    const url = new URL(config.endpoint, here).href;
    this.#base = baseOf(config, here);
    this.result = new Promise((resolve) => (this.#resolve = resolve));
    const { signal } = config;
    if (signal?.aborted) queueMicrotask(() => this.cancel());
    signal?.addEventListener("abort", this.#cancelled);
    if (typeof addEventListener === "function") addEventListener("pagehide", this.#left);
    void this.#run(url, JSON.stringify(payload));
  }

  /** The soft stop: the model stops, answer and usage are kept. Where nobody can be asked, the stream ends here. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  async #stop(): Promise<void> {
    if (this.#ended) return;
    this.#asked ||= performance.now();
    if (this.id && this.#base && this.state === "streaming") {
      const url = `${this.#base}v1/streams/${encodeURIComponent(this.id)}/stop`;
      try {
        const { headers } = this.#config;
        const response = await fetch(url, { method: "POST", headers, signal: AbortSignal.timeout(2000) });
        await response.body?.cancel();
        if (response.ok) return this.#arm(2000, () => this.#end("stopped"));
      } catch {
        // nobody answers: end it here
      }
    }
    this.#end("stopped");
  }

  /** The model stops, and the stream ends here and now. */
  cancel(): void {
    this.#asked ||= performance.now();
    this.#end("cancelled");
  }

  /** Every event, in order. Throws the {@link StreamError} of a stream that is not whole. Leaving the loop cancels. */
  async *[Symbol.asyncIterator](): AsyncGenerator<StreamEvent, void> {
    this.#iterated = true;
    try {
      for (;;) {
        const events = this.#unread;
        this.#unread = [];
        for (const event of events) yield event; // `yield*` makes three promises of each
        if (this.#unread.length) continue;
        if (this.#ended) break;
        await new Promise<void>((wake) => (this.#wake = wake));
      }
    } finally {
      if (!this.#ended) this.cancel();
    }
    const { error } = await this.result;
    if (error) throw error;
  }

  readonly #cancelled = (): void => this.cancel();
  readonly #left = (): void => {
    this.#abort.abort(); // before the report: the worker that has to hear of it is about to go too
    this.#report("left");
    this.cancel();
  };

  async #run(url: string, body: string): Promise<void> {
    let release = (): void => {};
    try {
      release = await place(new URL(url).origin, this.#config.maxStreams, this.#abort.signal, (at) => {
        this.place = at;
        this.#become("queued");
      });
      this.place = 0;
      if (this.state === "queued") this.#seen.queued(performance.now() - this.#began);
      for (let attempt = 0; !this.#ended; attempt++) {
        this.#become("connecting");
        await this.#attempt(url, body);
        if (this.#ended) break;
        const wait = this.#retryIn(attempt);
        if (wait === undefined) return this.#end(this.#failed?.end ?? "cut");
        await this.#sleep(wait);
        this.#partial.retries++;
      }
    } catch {
      // only an abort comes here, and its end is told already
    } finally {
      release();
    }
  }

  /** One request. Comes back ended, or with a failure that may be worth another request. */
  async #attempt(url: string, body: string): Promise<void> {
    this.#failed = undefined;
    const { headers, chunkThrottle, maxBufferSize, worker } = this.#config;
    const request = {
      url,
      headers: { "content-type": "application/json", accept: "text/event-stream, application/x-ndjson;q=0.9", ...headers },
      body,
      throttle: chunkThrottle,
      maxEvents: maxBufferSize,
    };
    const attempt = new AbortController();
    const signal = AbortSignal.any([this.#abort.signal, attempt.signal]);
    this.#stallAfter();
    await readIn(worker, request, signal, (message) => {
      if (!this.#ended) this.#hear(message);
    });
    attempt.abort();
    this.#disarm();
  }

  #hear(message: WireMessage): void {
    this.#stallAfter();
    switch (message.kind) {
      case "head":
        this.id = message.id ?? undefined;
        this.#seen.head();
        return this.#become("waiting");
      case "events":
        return this.#events(message.events, message.tokens);
      case "refused":
        this.#failed = new StreamError("error", message.message, message);
        return;
      case "broken":
        this.#failed = this.#first
          ? new StreamError("cut", `The connection broke: ${message.message}.`)
          : new StreamError("error", `Cannot reach the server: ${message.message}.`);
        return;
      case "end":
        this.#partial.malformed = message.malformed;
        this.#gateway = message.gateway;
        return this.#bodyEnded(message.complete);
      default:
        return;
    }
  }

  #bodyEnded(complete: boolean): void {
    if (this.#failed) return this.#end(endOfCode(this.#failed.code));
    if (this.#gateway === "soft_stop") return this.#end("stopped");
    if (complete) return this.#end(endOfReason(this.#finish));
    this.#failed = new StreamError("cut", "The answer ended without a finish reason: it is not whole.");
    if (this.#first) this.#end(this.#asked ? "stopped" : "cut");
  }

  #events(events: StreamEvent[], tokens: number): void {
    const now = performance.now();
    if (tokens) {
      if (!this.#first) this.#become("streaming");
      this.#first ||= now;
      this.#last = now;
      this.#partial.tokens += tokens;
    }
    const filter = this.#config.incrementalFilter;
    for (const event of events) {
      if (event.type === "text" && filter) event.text = filter(event.text);
      this.#note(event);
      if (this.#iterated || !this.#handlers.events) append(this.#unread, event, this.#config.maxBufferSize);
    }
    this.#handlers.events?.(events, this);
    if (tokens) this.#seen.tokens(now);
    this.#rouse();
  }

  #note(event: StreamEvent): void {
    if (event.type === "text" && event.choice === 0) this.text += event.text;
    else if (event.type === "reasoning" && event.choice === 0) this.reasoning += event.text;
    else if (event.type === "finished") this.#finish = event.reason;
    else if (event.type === "failed") this.#failed = failureOf(event);
    else if (event.type === "usage") {
      const { type: _, ...usage } = event;
      this.#partial.usage = usage;
    } else if (event.type === "tool_call" && event.choice === 0) {
      const call = (this.#partial.toolCalls[event.index] ??= { id: "", name: "", arguments: "" });
      call.id ||= event.id ?? "";
      call.name ||= event.name ?? "";
      call.arguments += event.arguments;
    }
  }

  /** Milliseconds until the next try; `undefined` when there is none. Text is never asked for twice. */
  #retryIn(attempt: number): number | undefined {
    const { status, retryAfter } = this.#failed ?? {};
    if (this.#first || attempt >= this.#config.retryAttempts || (status !== undefined && !AGAIN.has(status))) return undefined;
    if (retryAfter !== undefined && retryAfter > PATIENCE) return undefined;
    const jitter = Math.random() * this.#config.retryDelay * 2 ** attempt;
    return Math.max(jitter, (retryAfter ?? 0) * 1000);
  }

  #sleep(ms: number): Promise<void> {
    const { signal } = this.#abort;
    return new Promise((wake) => {
      const timer = setTimeout(wake, ms);
      signal.addEventListener("abort", () => (clearTimeout(timer), wake()), { once: true });
    });
  }

  #stallAfter(): void {
    this.#arm(this.#config.timeout, this.#stalled);
  }

  readonly #stalled = (): void => {
    this.#failed = new StreamError("stalled", `Nothing came for ${this.#config.timeout / 1000} s.`);
    this.#end("stalled");
  };

  /** Called for every message: a timer that is set for sooner stays. */
  #arm(ms: number, then: () => void): void {
    if (this.#ended) return;
    this.#then = then;
    this.#due = performance.now() + ms;
    if (this.#timer === undefined || this.#wakes > this.#due) this.#wait(ms);
  }

  #wait(ms: number): void {
    clearTimeout(this.#timer);
    this.#wakes = performance.now() + ms;
    this.#timer = setTimeout(this.#look, ms);
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    const left = this.#due - performance.now();
    if (left > 0) this.#wait(left);
    else this.#then();
  };

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #become(state: StreamState): void {
    if (this.#ended) return;
    this.state = state;
    this.#handlers.state?.(state, this);
  }

  #end(end: StreamEnd): void {
    if (this.#ended) return;
    this.#become("ended");
    this.#ended = true;
    this.#disarm();
    this.#config.signal?.removeEventListener("abort", this.#cancelled);
    if (typeof removeEventListener === "function") removeEventListener("pagehide", this.#left);
    const result = this.#resultOf(end);
    this.#report(end);
    this.#abort.abort();
    this.#rouse();
    this.#resolve(result);
  }

  #resultOf(end: StreamEnd): StreamResult {
    const { metrics } = this.#config;
    const result: StreamResult = { ...this.#partial, end, text: this.text, reasoning: this.reasoning };
    result.toolCalls = result.toolCalls.filter(Boolean);
    if (this.id) result.id = this.id;
    if (metrics.finishReason && this.#finish) result.finishReason = this.#finish;
    if (metrics.ttft && this.#first) result.ttft = this.#first - this.#began;
    if (metrics.tpot && result.tokens > 1) result.tpot = (this.#last - this.#first) / (result.tokens - 1);
    if (metrics.cancellation && this.#asked) result.cancellation = performance.now() - this.#asked;
    if (end === "cut" || end === "stalled" || end === "error") {
      const { message, ...more } = this.#failed ?? { message: "The stream failed." };
      result.error = this.#failed?.end === end ? this.#failed : new StreamError(end, message, more);
      result.error.text = this.text;
    }
    return result;
  }

  #report(end: StreamEnd | "left"): void {
    if (!this.id || !this.#base || !this.#config.report) return;
    this.#seen.received = this.text.length;
    this.#seen.shown = this.shown;
    const url = `${this.#base}v1/streams/${encodeURIComponent(this.id)}/seen`;
    this.#seen.send(url, this.#config.headers, end);
  }

  #rouse(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

function failureOf({ message, code }: Extract<StreamEvent, { type: "failed" }>): StreamError {
  const end = endOfCode(code);
  return new StreamError(end === "cut" || end === "stalled" ? end : "error", message, { code });
}
