/** What is said about a stream: its end, what to do now, its figures. */
import type { StreamError, StreamResult } from "../client/ends.ts";

const ms = (value: number): string => (value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`);

/** `TTFT 210 ms · 16.7 ms a token · 42 tokens · stop` */
export function figuresOf({ ttft, tpot, tokens, usage, finishReason, end }: StreamResult): string {
  const parts = [];
  if (ttft !== undefined) parts.push(`TTFT ${ms(ttft)}`);
  if (tpot !== undefined) parts.push(`TPOT ${tpot.toFixed(1)} ms`);
  const count = usage?.output || tokens;
  if (count) parts.push(`${count} token${count === 1 ? "" : "s"}${usage?.estimated ? " (estimated)" : ""}`);
  parts.push(finishReason && end !== "stopped" ? finishReason : end);
  return parts.join(" · ");
}

/** What happened and what to do, in one sentence or two. */
export function explain(result: Pick<StreamResult, "end" | "text"> & { error?: StreamError | undefined }): string {
  const { end, error, text } = result;
  switch (end) {
    case "length":
      return "The model reached its limit of tokens. Continue to get the rest.";
    case "content_filter":
      return "A filter ended the answer.";
    case "tool_calls":
      return "The model asks for a tool; this page has none.";
    case "stopped":
      return "Stopped. The answer so far is kept.";
    case "cancelled":
      return "Cancelled.";
    case "cut":
      return "The answer was cut off: the text so far is not whole. Continue, or try again.";
    case "stalled":
      return `${error?.message ?? "Nothing came for too long."} ${text ? "Continue, or try again." : "Try again."}`;
    case "error":
      return error ? explainError(error) : "The stream failed.";
    default:
      return "";
  }
}

function explainError({ status, message, retryAfter }: StreamError): string {
  const said = message.replace(/\.?$/, ".");
  if (status === 401) return `${said} Enter a key at the top of the page.`;
  if (status === 403) return `${said} Ask for a key that may use this model.`;
  if (status === 404) return `${said} Choose another model.`;
  if (status === 429) return `${said} Try again ${retryAfter ? `in ${Math.ceil(retryAfter)} s` : "in a moment"}.`;
  if (status === 413) return `${said} Begin a new conversation, or shorten this one.`;
  if (status === undefined || status >= 500) return `${said} Try again in a moment.`;
  return said;
}

export const canContinue = (end: string | undefined): boolean =>
  end === "cut" || end === "stalled" || end === "length" || end === "stopped";

/** For the one status region: an end, once. */
export function announce(end: string, text: string): string {
  const words = text.split(/\s+/).filter(Boolean).length;
  if (end === "stopped" || end === "cancelled") return `Stopped, ${words} words`;
  if (end === "cut") return "Cut off";
  if (end === "stalled" || end === "error") return "Failed";
  return `Complete, ${words} words`;
}
