/** What can be set, and what it is when nobody sets it. Every value can be overridden for one call. */

/** Times in milliseconds. */
export interface StreamConfig {
  /** Any OpenAI-compatible chat endpoint: absolute, or relative to the page. */
  endpoint: string;
  /** Where `v1/streams/{id}` is; by default what stands before the path of a known `endpoint`. */
  base: string | undefined;
  headers: Record<string, string>;
  /** Longest silence, heartbeats not counted as silence; then the stream is `stalled`. */
  timeout: number;
  /** How often a request is made again; only ever before the first token. */
  retryAttempts: number;
  /** Back-off before the n-th retry: a random share of `retryDelay · 2ⁿ`. A `Retry-After` is honoured. */
  retryDelay: number;
  /** `onChunk` is called at most once in this time; the first token at once. */
  chunkThrottle: number;
  /** Past so many waiting events, neighbouring texts are added up. Nothing is dropped. */
  maxBufferSize: number;
  /** Which figures the result carries. */
  metrics: { ttft: boolean; tpot: boolean; cancellation: boolean; finishReason: boolean };
  /** Sees each piece of the answer before anybody else and gives what to show of it. */
  incrementalFilter: ((text: string) => string) | undefined;
  /** Sent as `max_tokens` and `temperature` where the payload has none; `undefined` sends none. */
  maxTokens: number | undefined;
  temperature: number | undefined;
  /** Decode in the page's one worker; `false` decodes here. A URL says where the worker's script is. */
  worker: boolean | string | URL;
  /** Tell the gateway, once a stream, what this reader saw: times and counts, never text. */
  report: boolean;
  /** Streams of this origin at the same time, over all tabs, while it speaks HTTP/1.1. */
  maxStreams: number;
  signal: AbortSignal | undefined;
}

export const STREAM_CONFIG: Readonly<StreamConfig> = {
  endpoint: "/api/v1/chat/stream",
  base: undefined,
  headers: {},
  timeout: 30_000,
  retryAttempts: 2,
  retryDelay: 800,
  chunkThrottle: 16,
  maxBufferSize: 50,
  metrics: { ttft: true, tpot: true, cancellation: true, finishReason: true },
  incrementalFilter: undefined,
  maxTokens: 2048,
  temperature: 0.7,
  worker: true,
  report: true,
  maxStreams: 4,
  signal: undefined,
};

/** Settings as somebody may give them: some of them, `undefined` where it means "none". */
export type StreamOptions = { [Name in keyof StreamConfig]?: StreamConfig[Name] | undefined };

const OPTIONAL = new Set(["base", "incrementalFilter", "maxTokens", "temperature", "signal"]);

/** `over` on top of `config`; `undefined` counts where it means something. */
export function configured(config: StreamConfig, over: StreamOptions = {}): StreamConfig {
  const given = Object.entries(over).filter(([name, value]) => value !== undefined || OPTIONAL.has(name));
  const merged = { ...config, ...Object.fromEntries(given) } as StreamConfig;
  if (over.headers) merged.headers = { ...config.headers, ...over.headers };
  if (over.metrics) merged.metrics = { ...config.metrics, ...over.metrics };
  return merged;
}

const KNOWN = /(?:api\/v1\/chat\/stream|v1\/chat\/completions)\/?$/;

/** Where the gateway's other paths begin; `undefined` when the endpoint is none that we know. */
export function baseOf(config: StreamConfig, here: string | undefined): string | undefined {
  if (config.base !== undefined) return new URL(config.base, here).href;
  const url = new URL(config.endpoint, here);
  return KNOWN.test(url.pathname) ? url.origin + url.pathname.replace(KNOWN, "") : undefined;
}
