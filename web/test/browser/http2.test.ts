/** A hundred streams of one page on one connection: HTTP/2 behind TLS, as a browser speaks it. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Browser, Page } from "playwright-core";
import { launch } from "./chromium.ts";
import { gateway, type Gateway } from "./gateway.ts";

let browser: Browser;
let gate: Gateway;
let page: Page;

/** Streams that have begun to answer. */
async function streaming(): Promise<number> {
  const { data } = await gate.json<{ data: { state: string }[] }>("v1/streams");
  return data.filter(({ state }) => state === "streaming").length;
}

beforeAll(async () => {
  gate = await gateway(undefined, "--tls-dev");
  browser = await launch();
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  page = await context.newPage();
  await page.goto(gate.url);
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await gate?.stop();
});

/** How many connections to the gateway are open on this machine. */
function connections(): number {
  const local = `:${gate.port.toString(16).toUpperCase().padStart(4, "0")}`;
  const rows = readFileSync("/proc/net/tcp", "utf8").split("\n").map((line) => line.trim().split(/\s+/));
  return rows.filter((row) => row[1]?.endsWith(local) && row[3] === "01").length;
}

test("a hundred streams of one page are whole, on one connection, none after another", async () => {
  const done = page.evaluate(async (count) => {
    const ask = async (): Promise<{ text: string; first: number; last: number }> => {
      const body = JSON.stringify({ model: "sim/default?tokens=60&tps=20", stream: true, messages: [{ role: "user", content: "Why?" }] });
      const answer = await fetch("/v1/chat/completions", { method: "POST", headers: { "content-type": "application/json" }, body });
      const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      let first = 0;
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return { text, first, last: performance.now() };
        first ||= performance.now();
        text += value;
      }
    };
    return Promise.all(Array.from({ length: count }, ask));
  }, 100);
  await expect.poll(streaming, { timeout: 30_000 }).toBe(100);
  // Those of the page, and that of this question.
  expect(connections()).toBeLessThanOrEqual(3);
  const answers = await done;
  expect(answers.every(({ text }) => text.endsWith("data: [DONE]\n\n"))).toBe(true);
  // With the six connections of HTTP/1.1 the seventh would begin when one has ended.
  expect(Math.max(...answers.map(({ first }) => first))).toBeLessThan(Math.min(...answers.map(({ last }) => last)));
  const protocols = await page.evaluate(() => [...new Set(performance.getEntriesByType("resource").map((entry) => (entry as PerformanceResourceTiming).nextHopProtocol))]);
  expect(protocols).toEqual(["h2"]);
}, 60_000);

test("one stream goes on beside others that end, and its abort reaches the model", async () => {
  const texts = await page.evaluate(async () => {
    const ask = (model: string, signal?: AbortSignal): Promise<Response> =>
      fetch("/v1/chat/completions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model, stream: true, messages: [{ role: "user", content: "Why?" }] }),
        ...(signal && { signal }),
      });
    const abort = new AbortController();
    const unread = await ask("sim/default?tokens=4000&tps=20", abort.signal);
    const others = await Promise.all(Array.from({ length: 20 }, async () => (await ask("sim/default?tokens=20")).text()));
    // Kept: an answer that nobody can read any more is given up by the browser itself.
    Object.assign(globalThis, { unread, leave: () => abort.abort() });
    return { ok: unread.ok, others };
  });
  expect(texts.ok).toBe(true);
  expect(texts.others.every((text) => text.endsWith("data: [DONE]\n\n"))).toBe(true);
  expect(await streaming()).toBe(1);
  await page.evaluate(() => (globalThis as { leave?: () => void }).leave!());
  await expect.poll(streaming).toBe(0);
}, 60_000);
