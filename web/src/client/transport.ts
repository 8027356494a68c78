/**
 * One request and its body, read and decoded: on the main thread, or in the page's worker (`worker.ts`), with the same
 * code. Always reads on: neither side of a browser's own read-ahead (about 50 MB) can be slowed by a page that does
 * not. What it hands over is bounded instead, by adding neighbouring texts up.
 */
import { ChatReader, type StreamEvent } from "./dialect.ts";
import { NdjsonDecoder } from "./ndjson.ts";
import { SseDecoder } from "./sse.ts";

/** What it takes to ask; can be posted to a worker. */
export interface WireRequest {
  url: string;
  headers: Record<string, string>;
  body: string;
  /** Milliseconds between two hand-overs. */
  throttle: number;
  /** Events in one hand-over, past which texts are added up. */
  maxEvents: number;
}

/** What is told of a stream, in order; `end` or `broken` is the last. */
export type WireMessage =
  | { kind: "head"; id: string | null }
  | { kind: "refused"; status: number; message: string; code: string | undefined; retryAfter: number | undefined }
  | { kind: "events"; events: StreamEvent[]; tokens: number }
  | { kind: "alive" }
  | { kind: "end"; complete: boolean; gateway: string | undefined; malformed: number }
  | { kind: "broken"; message: string; sent: boolean };

/** Bytes of a refusal's body that are read for its message. */
const MAX_REFUSAL = 64 * 1024;
/** Milliseconds of decoding after which everything else gets its turn. */
const SLICE = 8;
const SLICE_BYTES = 64 * 1024;

/** Ask and read to the end. Never rejects; every way out cancels the body, which would hold a connection otherwise. */
export async function read(request: WireRequest, signal: AbortSignal, tell: (message: WireMessage) => void): Promise<void> {
  let body: ReadableStream<Uint8Array> | null = null;
  try {
    const { url, headers } = request;
    const response = await fetch(url, { method: "POST", headers, body: request.body, signal });
    body = response.body;
    const type = response.headers.get("content-type") ?? "";
    if (!response.ok || !/event-stream|json/i.test(type)) return tell(await refusal(response, type));
    tell({ kind: "head", id: response.headers.get("x-stream-id") });
    if (body) await new Reading(request, tell, type).run(body.getReader(), signal);
    body = null;
  } catch (error) {
    if (!signal.aborted) tell({ kind: "broken", message: String((error as Error).message ?? error), sent: body !== null });
  } finally {
    body?.cancel().catch(() => {});
  }
}

class Reading {
  readonly #request: WireRequest;
  readonly #tell: (message: WireMessage) => void;
  readonly #chat = new ChatReader();
  readonly #sse: SseDecoder | undefined;
  readonly #lines: NdjsonDecoder | undefined;
  #waiting: StreamEvent[] = [];
  #tokens = 0;
  #told = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #heard = 0;

  constructor(request: WireRequest, tell: (message: WireMessage) => void, type: string) {
    this.#request = request;
    this.#tell = tell;
    if (/event-stream/i.test(type)) this.#sse = new SseDecoder();
    else this.#lines = new NdjsonDecoder();
  }

  async run(reader: ReadableStreamDefaultReader<Uint8Array>, signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (signal.aborted) return;
        if (done) break;
        await this.#take(value);
      }
      if (this.#sse) this.#sse.close();
      else for (const record of this.#lines?.close() ?? []) this.#add(this.#chat.take(record));
      this.#flush();
      const { complete, gateway, malformed } = this.#chat;
      this.#tell({ kind: "end", complete, gateway, malformed });
    } finally {
      // What arrived before a failure is the reader's too.
      if (!signal.aborted) this.#flush();
      clearTimeout(this.#timer);
      reader.cancel().catch(() => {});
    }
  }

  /** A read may be megabytes after a stall: decoded in pieces, with a pause whenever a slice of time is used up. */
  async #take(bytes: Uint8Array): Promise<void> {
    let began = performance.now();
    if (began - this.#heard > 1000) {
      this.#heard = began;
      this.#tell({ kind: "alive" });
    }
    for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
      this.#decode(bytes.length <= SLICE_BYTES ? bytes : bytes.subarray(at, at + SLICE_BYTES));
      if (performance.now() - began < SLICE) continue;
      await new Promise((wake) => setTimeout(wake));
      began = performance.now();
    }
    if (!this.#waiting.length) return;
    const left = this.#told + this.#request.throttle - performance.now();
    // The first token goes at once.
    if (!this.#told || left <= 0) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), left);
  }

  #decode(bytes: Uint8Array): void {
    if (this.#sse) for (const event of this.#sse.feed(bytes)) this.#add(this.#chat.take(event.data, event.event));
    else if (this.#lines) for (const record of this.#lines.feed(bytes)) this.#add(this.#chat.take(record));
  }

  #add(events: StreamEvent[]): void {
    for (const event of events) append(this.#waiting, event, this.#request.maxEvents);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#waiting.length) return;
    const events = this.#waiting;
    this.#waiting = [];
    const tokens = this.#chat.tokens - this.#tokens;
    this.#tokens = this.#chat.tokens;
    if (tokens) this.#told = performance.now();
    this.#tell({ kind: "events", events, tokens });
  }
}

/** Add `event`; past `max`, text that continues the last event's is added to it. Order and content stay. */
export function append(events: StreamEvent[], event: StreamEvent, max: number): void {
  const last = events.at(-1);
  if (events.length >= max && last?.type === event.type && "text" in last && "text" in event && last.choice === event.choice)
    events[events.length - 1] = { ...last, text: last.text + event.text };
  else events.push(event);
}

async function refusal(response: Response, type: string): Promise<WireMessage> {
  const { status } = response;
  const text = await start(response);
  const [failed] = /json/i.test(type) ? new ChatReader().take(text, "error") : [];
  const said = failed?.type === "failed" ? failed : undefined;
  const what = response.ok ? `not a stream (${type || "no content type"})` : `status ${status}`;
  const after = Number(response.headers.get("retry-after"));
  return {
    kind: "refused",
    status,
    message: said?.message ?? `The server answered with ${what}.`,
    code: said?.code,
    retryAfter: after > 0 ? after : undefined,
  };
}

/** The first bytes of a body as text. */
async function start(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  const utf8 = new TextDecoder();
  let text = "";
  try {
    while (reader && text.length < MAX_REFUSAL) {
      const { done, value } = await reader.read();
      if (done) break;
      text += utf8.decode(value, { stream: true });
    }
  } finally {
    reader?.cancel().catch(() => {});
    reader?.releaseLock();
  }
  return text;
}
