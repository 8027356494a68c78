import { expect, test } from "vitest";
import { StreamError, type StreamResult } from "../../src/client/ends.ts";
import { begin, load, messagesOf, save, titleOf, type Conversation } from "../../src/page/conversations.ts";
import { duration, endsOverTime, histogram, hitsOverTime, kindOf, quantile, readers, type Row, verdicts } from "../../src/page/figures.ts";
import { EMPTY, take } from "../../src/page/watch.ts";
import { announce, canContinue, explain, figuresOf } from "../../src/page/words.ts";

const row = (more: Partial<Row>): Row => ({
  ...{ id: "a", client: "c", model: "m", upstream: "u", state: "ended", reason: "stop", created: 1000, duration: 1 },
  ...{ ttft: 0.2, tpot: 0.01, added_latency: 0.0005, tokens: 10, usage: null, paused: false },
  ...more,
});
const result = (more: Partial<StreamResult>): StreamResult => ({
  ...{ end: "stop", text: "", reasoning: "", toolCalls: [], tokens: 0, malformed: 0, retries: 0 },
  ...more,
});

test("every end that is not a plain success says what happened and what to do", () => {
  expect(explain(result({ end: "stop" }))).toBe("");
  for (const end of ["length", "content_filter", "tool_calls", "stopped", "cancelled", "cut", "stalled", "error"] as const)
    expect(explain(result({ end }))).not.toBe("");
  const failed = (status?: number, retryAfter?: number): string =>
    explain(result({ end: "error", error: new StreamError("error", "No", { status, retryAfter }) }));
  expect(failed(401)).toBe("No. Enter a key at the top of the page.");
  expect(failed(429, 7.2)).toBe("No. Try again in 8 s.");
  expect(failed()).toBe("No. Try again in a moment.");
  expect(failed(400)).toBe("No.");
});

test("figures name what was measured, and an estimate as one", () => {
  const all = result({ ttft: 210.4, tpot: 16.66, tokens: 3, finishReason: "stop", usage: { prompt: 1, output: 42, cached: 0, reasoning: 0 } });
  expect(figuresOf(all)).toBe("TTFT 210 ms · TPOT 16.7 ms · 42 tokens · stop");
  expect(figuresOf(result({ end: "cut", tokens: 1, ttft: 2500 }))).toBe("TTFT 2.5 s · 1 token · cut");
  const stopped = result({ end: "stopped", finishReason: "stop", usage: { prompt: 0, output: 2, cached: 0, reasoning: 0, estimated: true } });
  expect(figuresOf(stopped)).toBe("2 tokens (estimated) · stopped");
});

test("the status region is told an end once, in words", () => {
  expect(announce("stop", "three short words")).toBe("Complete, 3 words");
  expect(announce("cut", "x")).toBe("Cut off");
  expect(canContinue("cut")).toBe(true);
  expect(canContinue("stop")).toBe(false);
});

test("conversations are kept, newest first, as many as fit; nonsense is none", () => {
  const shelf = new Map<string, string>();
  const storage = { getItem: (key: string) => shelf.get(key) ?? null, setItem: (key: string, value: string) => void shelf.set(key, value) };
  const one = (content: string): Conversation => ({ ...begin("m"), turns: [{ role: "user", content }] });
  save([one("a"), begin("empty"), one("b")], storage);
  expect(load(storage).map(titleOf)).toEqual(["a", "b"]);
  save(Array.from({ length: 80 }, (_, at) => one(String(at))), storage);
  expect(load(storage)).toHaveLength(50);
  save(Array.from({ length: 4 }, () => one("x".repeat(900_000))), storage);
  expect(load(storage)).toHaveLength(2);
  for (const broken of ["", "{", "17", "[1,null,{}]"]) {
    shelf.set("tidegate.conversations", broken);
    expect(load(storage)).toEqual([]);
  }
});

test("to go on in an answer is to ask for its rest", () => {
  const turns = [{ role: "user" as const, content: "q" }, { role: "assistant" as const, content: "half" }];
  expect(messagesOf(turns).map(({ role }) => role)).toEqual(["user", "assistant", "user"]);
  expect(messagesOf(turns.slice(0, 1))).toEqual([{ role: "user", content: "q" }]);
});

test("a histogram counts every value once, in buckets that double", () => {
  const bars = histogram([0.01, 0.015, 0.02, 0.3, null, undefined, -1], 0.01);
  expect(bars.reduce((sum, { count }) => sum + count, 0)).toBe(4);
  expect(bars[0]).toEqual({ label: "≤ 10 ms", count: 1 });
  expect(bars[1]).toEqual({ label: "≤ 20 ms", count: 2 });
  expect(histogram([], 0.01)).toEqual([]);
  expect(quantile([3, 1, null, 2], 0.5)).toBe(2);
  expect(quantile([], 0.5)).toBeNull();
  expect([duration(0.0004), duration(0.25), duration(2), duration(600), duration(null)]).toEqual(["400 µs", "250 ms", "2.0 s", "10 min", "–"]);
});

test("ends fall into their slice of time and their kind", () => {
  const rows = [row({ created: 995, duration: 4 }), row({ reason: "upstream_cut", created: 900, duration: 1 }), row({ created: 0 })];
  const slices = endsOverTime(rows, 1000, 5, 30);
  expect(slices.at(-1)).toEqual({ finished: 1, stopped: 0, left: 0, failed: 0 });
  expect(slices[1]!.failed).toBe(1);
  expect(slices.reduce((sum, slice) => sum + slice.finished + slice.failed, 0)).toBe(2);
  expect(["soft_stop", "client_cancel", "length", null].map((reason) => kindOf(reason))).toEqual(["stopped", "left", "finished", "failed"]);
});

test("safety hits are added up by rule and slice of time, the rarest rules as one", () => {
  const hits = (...of: [string, number][]) => of.map(([rule, count]) => ({ rule, action: "redact", count }));
  const rows = [
    row({ created: 995, duration: 4, safety: hits(["email", 2], ["ssn", 1]) }),
    row({ created: 900, duration: 1, safety: hits(["email", 3]) }),
    row({ created: 0, safety: hits(["iban", 9]) }),
    row({ created: 1010 }),
  ];
  expect(hitsOverTime(rows, 1000, 6, 5, 30)).toEqual([
    { rule: "email", counts: [0, 3, 0, 0, 2], total: 5 },
    { rule: "ssn", counts: [0, 0, 0, 0, 1], total: 1 },
  ]);
  const many = row({ created: 999, safety: hits(...Array.from({ length: 9 }, (_, at): [string, number] => [`r${at}`, 10 - at])) });
  const lines = hitsOverTime([many], 1000, 3, 2, 30);
  expect(lines.map(({ rule, total }) => `${rule}: ${total}`)).toEqual(["r0: 10", "r1: 9", "7 more: 35"]);
  expect(hitsOverTime([many], 1000, 9, 2, 30)).toHaveLength(9);
  expect(hitsOverTime([], 1000)).toEqual([]);
});

test("verdicts are counted by classifier, and those on whole answers by what they say", () => {
  const flagged = (name: string, action: string, count: number) => ({ rule: `classifier:${name}`, action, count });
  const rows = [
    row({ safety: [flagged("tone", "tag", 1), { rule: "email", action: "redact", count: 4 }], validation: { valid: true } }),
    row({ safety: [flagged("harm", "block", 2)], validation: { valid: false } }),
    row({ safety: [flagged("harm", "block", 1)], validation: { valid: null } }),
    row({ validation: { valid: true } }),
    row({ validation: null }),
  ];
  expect(verdicts(rows)).toEqual([
    { name: "harm", said: "3 flagged, 2 ended" },
    { name: "tone", said: "1 flagged, 0 ended" },
    { name: "whole answers", said: "2 valid, 1 not valid, 1 unchecked" },
  ]);
  expect(verdicts([row({ safety: [{ rule: "email", action: "redact", count: 1 }] })])).toEqual([]);
});

test("completion leaves out what was stopped on purpose", () => {
  const reports = [{ finished: true, first_paint: 0.2 }, { stopped: true, first_paint: 0.4 }, { cut: true }, { finished: true, first_paint: 0.3 }];
  expect(readers([...reports.map((reader) => row({ reader })), row({})])).toEqual({ reports: 4, ratio: 2 / 3, perceived: 0.3 });
  expect(readers([])).toEqual({ reports: 0, ratio: null, perceived: null });
});

test("the table takes events in: live ones replace, ended ones are merged by id and bounded", () => {
  let table = take(EMPTY, "ended", JSON.stringify([row({ id: "a" }), row({ id: "b" })]));
  table = take(table, "streams", JSON.stringify({ live: 700, streams: [row({ id: "c" })] }));
  table = take(table, "ended", JSON.stringify([row({ id: "a", reader: { finished: true } })]));
  expect([table.count, table.live.length, table.ended.map(({ id }) => id).join()]).toEqual([700, 1, "a,b"]);
  expect(table.ended[0]!.reader).toEqual({ finished: true });
  table = take(table, "ended", JSON.stringify(Array.from({ length: 1500 }, (_, at) => row({ id: String(at) }))));
  expect(table.ended).toHaveLength(1000);
  expect(take(table, "unknown", "?")).toBe(table);
  const part = take(table, "streams", JSON.stringify({ live: 1, streams: [], partial: true }));
  expect([table.partial, part.partial]).toEqual([false, true]);
  expect(take(part, "streams", JSON.stringify({ live: 1, streams: [] })).partial).toBe(false);
});
