/**
 * What a chunk of an OpenAI-compatible chat stream says. Every field may be missing or of the wrong type: what does
 * not fit counts as missing, and never fails a stream.
 */
import { ToolCallIndex } from "./toolcalls.ts";

export type StreamEvent =
  | { type: "started"; choice: number; role: string; id?: string; model?: string }
  | { type: "text"; choice: number; text: string }
  | { type: "reasoning"; choice: number; text: string }
  | { type: "refusal"; choice: number; text: string }
  | { type: "tool_call"; choice: number; index: number; id?: string; name?: string; arguments: string }
  | ({ type: "usage" } & Usage)
  | { type: "finished"; choice: number; reason: string }
  | { type: "failed"; message: string; kind?: string; code?: string };

/** Token counts. `cached` and `reasoning` are parts of prompt and output, not beside them. */
export interface Usage {
  prompt: number;
  output: number;
  cached: number;
  reasoning: number;
  estimated?: boolean;
}

type Json = Record<string, unknown>;

const UNSAID = "The upstream reported an error.";

const string = (value: unknown): string => (typeof value === "string" ? value : "");
const object = (value: unknown): Json | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
const objects = (value: unknown): Json[] =>
  Array.isArray(value) ? (value.filter((item) => object(item)) as Json[]) : [];
const count = (value: unknown): number => (typeof value === "number" && value > 0 ? Math.trunc(value) : 0);
const filled = (value: unknown): Json | undefined => {
  const found = object(value);
  return found && Object.keys(found).length ? found : undefined;
};

/** Reads one stream: data of its events or records in, {@link StreamEvent}s out. */
export class ChatReader {
  /** Events that were no chunk, and were skipped. */
  malformed = 0;
  /** Deltas that carried something for the reader; one is usually one token. */
  tokens = 0;
  /** `[DONE]` came: nothing after it counts. It proves nothing about completeness. */
  done = false;
  /** The gateway's own word about the end, such as `soft_stop`. */
  gateway: string | undefined;
  /** The finish reason of each choice seen, `""` while it has none. */
  readonly finish = new Map<number, string>();
  readonly #calls = new Map<number, ToolCallIndex>();

  /** Whether every choice has its finish reason. Only that makes a stream complete. */
  get complete(): boolean {
    return this.finish.size > 0 && [...this.finish.values()].every(Boolean);
  }

  /** @param name the SSE event's name; `error` makes any body an error. */
  take(data: string, name = ""): StreamEvent[] {
    if (this.done) return [];
    if (data === "[DONE]") {
      this.done = true;
      return [];
    }
    let chunk: Json | undefined;
    try {
      chunk = object(JSON.parse(data));
    } catch {
      // counted below
    }
    if (name === "error") {
      const failed = chunk && (failure(chunk.error || chunk.detail) ?? (chunk.message ? failure(chunk) : undefined));
      if (failed) return [failed];
    }
    if (chunk) return this.#chunk(chunk);
    this.malformed++;
    return [];
  }

  #chunk(chunk: Json): StreamEvent[] {
    const events: StreamEvent[] = [];
    const choices = objects(chunk.choices);
    for (const choice of choices) this.#choice(choice, chunk, events);
    const usage = usageOf(chunk, choices);
    const ours = object(chunk.tidegate);
    if (ours && typeof ours.reason === "string") this.gateway = ours.reason;
    if (usage) events.push(ours?.usage === "estimated" ? { ...usage, estimated: true } : usage);
    const failed =
      failure(chunk.error) ??
      (chunk.object === "error" || chunk.type === "error" ? failure(chunk) : undefined) ??
      choices.map((choice) => failure(choice.error)).find(Boolean);
    if (failed) events.push(failed);
    return events;
  }

  #choice(choice: Json, chunk: Json, events: StreamEvent[]): void {
    const index = Number.isInteger(choice.index) ? (choice.index as number) : 0;
    const delta = object(choice.delta) ?? {};
    if (!this.finish.has(index)) {
      this.finish.set(index, "");
      const started: StreamEvent = { type: "started", choice: index, role: string(delta.role) || "assistant" };
      if (typeof chunk.id === "string") started.id = chunk.id;
      if (typeof chunk.model === "string") started.model = chunk.model;
      events.push(started);
    }
    for (const [type, text] of [
      ["reasoning", reasoningOf(delta)],
      ["text", textOf(delta.content)],
      ["refusal", string(delta.refusal)],
    ] as const) {
      if (!text) continue;
      this.tokens++;
      events.push({ type, choice: index, text });
    }
    this.#toolCalls(delta, index, events);
    const reason = string(choice.finish_reason);
    if (!reason) return;
    this.finish.set(index, reason);
    events.push({ type: "finished", choice: index, reason });
  }

  #toolCalls(delta: Json, choice: number, events: StreamEvent[]): void {
    const calls = objects(delta.tool_calls);
    let says = false;
    for (const call of calls) {
      let numbering = this.#calls.get(choice);
      if (!numbering) this.#calls.set(choice, (numbering = new ToolCallIndex()));
      const fn = object(call.function) ?? {};
      const [id, name, args] = [string(call.id), string(fn.name), argumentsOf(fn)];
      const given = Number.isInteger(call.index) ? (call.index as number) : undefined;
      const event: StreamEvent = {
        type: "tool_call",
        choice,
        index: numbering.index(given, id, name !== ""),
        arguments: args,
      };
      if (id) event.id = id;
      if (name) event.name = name;
      events.push(event);
      says ||= Boolean(id || name || args);
    }
    // The legacy form has one call and no index.
    const legacy = object(delta.function_call);
    if (legacy) {
      const event: StreamEvent = { type: "tool_call", choice, index: 0, arguments: argumentsOf(legacy) };
      if (string(legacy.name)) event.name = string(legacy.name);
      events.push(event);
      if (!calls.length) says ||= Boolean(event.name || event.arguments);
    }
    if (says) this.tokens++;
  }
}

function argumentsOf(fn: Json): string {
  return filled(fn.arguments) ? JSON.stringify(fn.arguments) : string(fn.arguments);
}

const isThought = (part: unknown): boolean => /^(thinking|reasoning)$/.test(string(object(part)?.type));

function textOf(content: unknown): string {
  if (!Array.isArray(content)) return string(content);
  const texts = content.map((part) => (isThought(part) ? "" : string(part) || string(object(part)?.text)));
  return texts.join("");
}

/** The reasoning, once: servers that use two of the field names say the same in both. */
function reasoningOf(delta: Json): string {
  const plain = string(delta.reasoning_content) || string(delta.reasoning);
  if (plain) return plain;
  const details = objects(delta.reasoning_details);
  if (details.length) return details.map((part) => string(part.text) || string(part.summary)).join("");
  if (!Array.isArray(delta.content)) return "";
  return delta.content
    .filter(isThought)
    .map((part: Json) =>
      Array.isArray(part.thinking)
        ? part.thinking.map((item) => string(object(item)?.text)).join("")
        : string(part.thinking) || string(part.text),
    )
    .join("");
}

/** Token counts, also where Groq (`x_groq`) and Moonshot (in a choice) put them. */
function usageOf(chunk: Json, choices: Json[]): ({ type: "usage" } & Usage) | undefined {
  const usage =
    filled(chunk.usage) ?? filled(object(chunk.x_groq)?.usage) ?? choices.map((choice) => filled(choice.usage)).find(Boolean);
  if (!usage) return undefined;
  return {
    type: "usage",
    prompt: count(usage.prompt_tokens),
    output: count(usage.completion_tokens),
    // DeepSeek's own name; older Moonshot answers have it at the top.
    cached:
      count(object(usage.prompt_tokens_details)?.cached_tokens) ||
      count(usage.prompt_cache_hit_tokens) ||
      count(usage.cached_tokens),
    reasoning: count(object(usage.completion_tokens_details)?.reasoning_tokens),
  };
}

function failure(error: unknown): StreamEvent | undefined {
  if (typeof error === "string" && error) return { type: "failed", message: error };
  const fields = filled(error);
  if (!fields) return error && typeof error !== "object" ? { type: "failed", message: UNSAID } : undefined;
  const failed: StreamEvent = { type: "failed", message: string(fields.message) || UNSAID };
  if (typeof fields.type === "string") failed.kind = fields.type;
  if (typeof fields.code === "string" || typeof fields.code === "number") failed.code = String(fields.code);
  return failed;
}
