/**
 * Streams of an LLM in the browser: whole, cancellable, and honest about their end.
 *
 * ```ts
 * const stream = new LLMStreamClient().stream({ model: "gpt-4o-mini", messages: [{ role: "user", content: "Hello" }] });
 * for await (const event of stream) if (event.type === "text") show(event.text);
 * ```
 */
import { configured, STREAM_CONFIG, type StreamConfig, type StreamOptions } from "./config.ts";
import type { StreamEvent } from "./dialect.ts";
import type { StreamError, StreamResult } from "./ends.ts";
import { LLMStream, type StreamHandlers } from "./stream.ts";

export { STREAM_CONFIG, type StreamConfig, type StreamOptions } from "./config.ts";
export { ChatReader, type StreamEvent, type Usage } from "./dialect.ts";
export { StreamError, type StreamEnd, type StreamResult, type ToolCall } from "./ends.ts";
export { NdjsonDecoder } from "./ndjson.ts";
export { SseDecoder, TooLarge, type SseEvent } from "./sse.ts";
export { LLMStream, type StreamHandlers, type StreamState } from "./stream.ts";

export class LLMStreamClient {
  readonly #config: StreamConfig;
  readonly #live = new Set<LLMStream>();

  constructor(options: StreamOptions = {}) {
    this.#config = configured(STREAM_CONFIG, options);
  }

  /** Begin a stream. Its events come by iterating over it, or to `handlers`; its end is `stream.result`. */
  stream(payload: object, options: StreamOptions = {}, handlers: StreamHandlers = {}): LLMStream {
    const config = configured(this.#config, options);
    const body: Record<string, unknown> = { stream: true, stream_options: { include_usage: true }, ...payload };
    if (!("max_tokens" in body || "max_completion_tokens" in body)) body.max_tokens = config.maxTokens;
    if (!("temperature" in body)) body.temperature = config.temperature;
    const stream = new LLMStream(body, config, handlers);
    this.#live.add(stream);
    void stream.result.then(() => this.#live.delete(stream));
    return stream;
  }

  /**
   * The same with callbacks. Exactly one of `onComplete` and `onError` is called, once; an end that the reader wanted
   * (`stopped`, `cancelled`) is a completion. A cut answer's text is in the error.
   * @returns what `onComplete` got, or would have got.
   */
  async generate(
    endpoint: string,
    payload: object,
    onChunk: (text: string, stream: LLMStream) => void,
    onComplete: (result: StreamResult) => void = () => {},
    onError: (error: StreamError, result: StreamResult) => void = () => {},
    options: StreamOptions = {},
  ): Promise<StreamResult> {
    const events = (some: StreamEvent[], stream: LLMStream): void => {
      const text = some.map((event) => (event.type === "text" && event.choice === 0 ? event.text : "")).join("");
      if (text) onChunk(text, stream);
    };
    const result = await this.stream(payload, { ...options, endpoint }, { events }).result;
    if (result.error) onError(result.error, result);
    else onComplete(result);
    return result;
  }

  /** Cancel every stream of this client. */
  cancel(): void {
    for (const stream of this.#live) stream.cancel();
  }
}
