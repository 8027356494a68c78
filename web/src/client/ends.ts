/** How a stream can end, and the error that says so. */
import type { Usage } from "./dialect.ts";

/**
 * `stop length tool_calls content_filter`: the model finished and said why. `stopped`: by the reader, answer and usage
 * kept. `cancelled`: by the reader. `cut`: the body ended without a finish reason; the text is kept. `stalled`: nothing
 * came for too long. `error`: somebody said what went wrong.
 */
export type StreamEnd =
  | "stop"
  | "length"
  | "tool_calls"
  | "content_filter"
  | "stopped"
  | "cancelled"
  | "cut"
  | "stalled"
  | "error";

/** A tool call, its fragments joined. `arguments` is JSON text. */
export interface ToolCall {
  id: string;
  name: string;
  arguments: string;
}

/** One stream, ended. Times in milliseconds. */
export interface StreamResult {
  end: StreamEnd;
  text: string;
  reasoning: string;
  toolCalls: ToolCall[];
  /** As the upstream, or the gateway in its place, reported it. */
  usage?: Usage;
  /** The upstream's own word. */
  finishReason?: string;
  /** Submit → first token here. */
  ttft?: number;
  /** (last token − first token) / (tokens − 1). */
  tpot?: number;
  /** `cancel()` or `stop()` → this end. */
  cancellation?: number;
  tokens: number;
  /** Chunks that were none, and were skipped. */
  malformed: number;
  retries: number;
  /** The gateway's id of the stream. */
  id?: string;
  error?: StreamError;
}

/** Why a stream is not whole. The text so far is in `text`. */
export class StreamError extends Error {
  override name = "StreamError";
  readonly end: "cut" | "stalled" | "error";
  /** The HTTP status, when there was an answer and it was a refusal. */
  readonly status: number | undefined;
  readonly code: string | undefined;
  /** Seconds that the server asked to wait. */
  readonly retryAfter: number | undefined;
  text = "";

  constructor(
    end: "cut" | "stalled" | "error",
    message: string,
    more: { status?: number | undefined; code?: string | undefined; retryAfter?: number | undefined } = {},
  ) {
    super(message);
    this.end = end;
    this.status = more.status;
    this.code = more.code;
    this.retryAfter = more.retryAfter;
  }
}

// What the gateway calls an end that is not an error of anybody's making.
const CODES: Record<string, StreamEnd> = {
  upstream_cut: "cut",
  stream_truncated: "cut",
  idle_timeout: "stalled",
  first_token_timeout: "stalled",
  total_timeout: "stalled",
  client_cancel: "cancelled",
  cancelled: "cancelled",
};

/** The end behind an error code inside a stream. */
export const endOfCode = (code: string | undefined): StreamEnd => CODES[code ?? ""] ?? "error";

/** The end behind a finish reason; one that we do not know is still a finish. */
export function endOfReason(reason: string): StreamEnd {
  if (reason === "length" || reason === "content_filter") return reason;
  return reason === "tool_calls" || reason === "function_call" ? "tool_calls" : "stop";
}
