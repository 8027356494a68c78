import { isDeepStrictEqual } from "node:util";
import { expect, test } from "vitest";
import { ChatReader, type StreamEvent } from "../../src/client/dialect.ts";
import { NdjsonDecoder } from "../../src/client/ndjson.ts";
import { SseDecoder, TooLarge, type SseEvent } from "../../src/client/sse.ts";
import { bodyOf, cases, cuts, type Case } from "../corpus.ts";

/** The corpus counts bytes that are no UTF-8 as themselves; here they are U+FFFD, as in the grammar. */
const data = (value: string | { base64: string }): string =>
  typeof value === "string" ? value : new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.from(value.base64, "base64"));

function readSse(pieces: Uint8Array[], max?: number) {
  const decoder = new SseDecoder(max);
  const events: SseEvent[] = [];
  let [pending, tooLarge] = [false, false];
  try {
    for (const piece of pieces) events.push(...decoder.feed(piece));
    pending = decoder.close();
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error;
    tooLarge = true;
  }
  return { events, pending: pending && !tooLarge, tooLarge, comments: decoder.comments, id: decoder.lastEventId };
}

test.each(cases("sse").map((one) => [one.name, one] as const))("sse: %s", (_, one: Case) => {
  const want = (one.events as Case[]).map((event) => ({ ...event, data: data(event.data) }));
  for (const pieces of cuts(bodyOf(one))) {
    const got = readSse(pieces, one.max_event);
    const tooLarge = one.too_large ?? false;
    const left = { pending: one.pending ?? false, comments: one.comments ?? 0, id: one.last_event_id ?? "" };
    const facts = { events: want, tooLarge, ...(tooLarge ? {} : left) };
    const { pending, comments, id, ...always } = got;
    const said = { ...always, ...(tooLarge ? {} : { pending, comments, id }) };
    if (!isDeepStrictEqual(said, facts)) expect(said).toEqual(facts);
  }
});

test.each(cases("ndjson").map((one) => [one.name, one] as const))("ndjson: %s", (_, one: Case) => {
  for (const pieces of cuts(bodyOf(one))) {
    const decoder = new NdjsonDecoder(one.max_record);
    const got: string[] = [];
    let [refused, pending] = [false, false];
    try {
      for (const piece of pieces) got.push(...decoder.feed(piece));
      pending = decoder.pending > 0;
      got.push(...decoder.close());
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error;
      refused = true;
    }
    const said = { records: got, refused, pending: pending && !refused };
    const want = { records: one.records, refused: one.too_large ?? false, pending: one.pending ?? false };
    if (want.refused) want.pending = false;
    if (!isDeepStrictEqual(said, want)) expect(said).toEqual(want);
  }
});

const NAMES: Record<string, string> = {
  prompt: "prompt_tokens",
  output: "output_tokens",
  cached: "cached_tokens",
  reasoning: "reasoning_tokens",
};

/** An event as the corpus writes it: fields that differ from their defaults. */
function described(event: StreamEvent): Case {
  const left: Case = {};
  for (const [name, value] of Object.entries(event)) {
    if (value === 0 && (name !== "index" || event.type !== "tool_call")) continue;
    if (value === "" || (name === "role" && value === "assistant")) continue;
    left[event.type === "usage" ? (NAMES[name] ?? name) : name] = value;
  }
  return left;
}

function readChat(pieces: Uint8Array[]) {
  const [decoder, reader] = [new SseDecoder(), new ChatReader()];
  const events: Case[] = [];
  for (const piece of pieces)
    for (const event of decoder.feed(piece)) events.push(...reader.take(event.data, event.event).map(described));
  decoder.close();
  return { events, tokens: reader.tokens, complete: reader.complete, malformed: reader.malformed };
}

test.each(cases("openai_chat").map((one) => [one.name, one] as const))("chat: %s", (_, one: Case) => {
  const want = { events: one.events, tokens: one.tokens, complete: one.complete, malformed: one.malformed ?? 0 };
  for (const pieces of cuts(bodyOf(one))) {
    const got = readChat(pieces);
    // A hundred thousand comparisons: the slow one, which explains, only where they differ.
    if (!isDeepStrictEqual(got, want)) expect(got).toEqual(want);
  }
  expect(readChat([bodyOf(one)])).toEqual(want);
});

test("a line of 4 MiB in pieces of 64 bytes costs what its size costs", () => {
  const decoder = new SseDecoder();
  const piece = new Uint8Array(64).fill(120);
  decoder.feed(new TextEncoder().encode("data: "));
  for (let sent = 0; sent < 4 * 1024 * 1024; sent += 64) expect(decoder.feed(piece)).toEqual([]);
  expect(decoder.feed(new TextEncoder().encode("\n\n"))[0]?.data.length).toBe(4 * 1024 * 1024);
});
