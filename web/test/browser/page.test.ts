import { readFileSync } from "node:fs";

import { createRequire } from "node:module";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { launch } from "./chromium.ts";
import { gateway, type Gateway } from "./gateway.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser: Browser;
let gate: Gateway;
let context: BrowserContext;
let page: Page;
let problems: string[];

beforeAll(async () => {
  [browser, gate] = await Promise.all([launch(), gateway()]);
});
afterAll(async () => {
  await Promise.all([browser?.close(), gate?.stop()]);
});
beforeEach(async () => {
  context = await browser.newContext();
  page = await context.newPage();
  problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy|TrustedScript/.test(message.text())) problems.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(gate.url) && !/^(?:data|blob|about):/.test(request.url())) problems.push(request.url());
  });
});
afterEach(async () => {
  await context.close();
  expect(problems).toEqual([]);
});

async function ask(model: string, text = "Tell me about the tide."): Promise<void> {
  await page.goto(gate.url);
  await page.fill("input[list=models]", model);
  await page.fill("#prompt", text);
  await page.press("#prompt", "Enter");
}
const status = (): Promise<string | null> => page.textContent("[role=status]");
const notice = (): Promise<string | null> => page.textContent(".turn .notice");
const ended = (): Promise<unknown> => page.waitForSelector(".turn.assistant[aria-busy=false] .figures");

test("an answer streams in, ends, and shows its figures", async () => {
  await ask("sim/prose?ttft=0.05&tps=400");
  await ended();
  expect((await page.textContent(".answer"))!.length).toBeGreaterThan(100);
  expect(await page.textContent(".turn.assistant .figures")).toMatch(/TTFT \d+ ms · TPOT [\d.]+ ms · \d+ tokens · stop/);
  expect(await status()).toMatch(/Complete, \d+ words/);
  expect(await page.locator(".turn .notice").count()).toBe(0);
});

test("a question typed and sent at once is asked, also before a model is known", async () => {
  let list = (): void => undefined;
  const asked = new Promise<void>((done) => (list = done));
  await page.route("**/v1/models", async (route) => {
    await asked;
    await route.continue();
  });
  await page.goto(gate.url);
  // In one task, so that nothing can be rendered between the text and the key.
  await page.evaluate(() => {
    const field = document.querySelector("textarea") as HTMLTextAreaElement;
    field.value = "Hello";
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
  });
  await expect.poll(status).toBe("Waiting for the list of models");
  expect(await page.inputValue("#prompt")).toBe("Hello");
  list();
  await ended();
  expect(await page.textContent(".turn.user")).toContain("Hello");
  expect(await page.inputValue("#prompt")).toBe("");
});

test("what the reader saw reaches the gateway's metrics", async () => {
  await ask("sim/prose?ttft=0.05&tps=400");
  await ended();
  await expect.poll(() => gate.metrics()).toMatch(/tidegate_reader_ends_total\{end="finished"\} [1-9]/);
  expect(await gate.metrics()).toMatch(/tidegate_perceived_latency_seconds_count [1-9]/);
  expect(await gate.metrics()).toMatch(/tidegate_completion_ratio (?:1\.0|0\.\d)/);
});

test("a reader that leaves is told of as one that left, and stops the model", async () => {
  await ask("sim/prose?ttft=0&tps=20");
  await page.waitForFunction(() => (document.querySelector(".answer")?.textContent ?? "").length > 10);
  await page.goto("about:blank");
  await expect.poll(() => gate.metrics()).toMatch(/tidegate_reader_ends_total\{end="left"\} [1-9]/);
  await expect.poll(() => gate.log()).toContain("client_cancel");
});

test("Escape stops the model and keeps the answer; Continue goes on in it", async () => {
  await ask("sim/prose?ttft=0&tps=40");
  await page.waitForFunction(() => (document.querySelector(".answer")?.textContent ?? "").length > 30);
  await page.keyboard.press("Escape");
  await ended();
  expect(await notice()).toBe("Stopped. The answer so far is kept.");
  expect(await status()).toMatch(/Stopped, \d+ words/);
  const before = (await page.textContent(".answer"))!.trim();
  await expect.poll(() => gate.log()).toContain("soft_stop");
  await page.fill("input[list=models]", "sim/prose?ttft=0&tps=2000");
  await page.press("input[list=models]", "Tab");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.waitForFunction((length) => (document.querySelector(".answer")?.textContent ?? "").length > length + 50, before.length);
  await ended();
  expect((await page.textContent(".answer"))!.startsWith(before.slice(0, 20))).toBe(true);
  expect(await page.locator(".turn").count()).toBe(2);
});

test.each([
  ["sim/cut-after-5", "The answer was cut off"],
  ["sim/done-only", "The answer was cut off"],
  ["sim/error-event", "The server is on fire"],
  ["sim/500", "Try again in a moment"],
  ["no-such-model-anywhere", ""],
])("the end is told as it was: %s", async (model, said) => {
  await ask(model);
  await page.waitForSelector(".turn.assistant[aria-busy=false]");
  if (said) expect(await notice()).toContain(said);
});

test("a cut answer keeps its text and offers to retry and to continue", async () => {
  await ask("sim/cut-after-9");
  await ended();
  expect((await page.textContent(".answer"))!.length).toBeGreaterThan(10);
  await expect.poll(() => page.getByRole("button", { name: "Retry" }).count()).toBe(1);
  expect(await page.getByRole("button", { name: "Continue" }).count()).toBe(1);
});

test("conversations are kept over a reload, and edited ones are asked again", async () => {
  await ask("sim/prose?ttft=0&tps=0", "First question");
  await ended();
  await page.reload();
  await page.selectOption("select", { label: "First question" });
  expect(await page.textContent(".turn.user .prompt")).toBe("First question");
  expect((await page.textContent(".answer"))!.length).toBeGreaterThan(50);
  await page.getByRole("button", { name: "Edit" }).click();
  expect(await page.inputValue("#prompt")).toBe("First question");
  expect(await page.locator(".turn").count()).toBe(0);
});

test("the key is kept for the tab alone", async () => {
  await page.goto(gate.url);
  await page.fill("header input", "tg-not-a-key");
  await page.press("header input", "Tab");
  await page.waitForSelector("[role=alert]");
  expect(await page.textContent("[role=alert]")).toContain("Enter one above");
  const kept = await page.evaluate(() => [JSON.stringify({ ...localStorage }), sessionStorage.getItem("tidegate.key"), document.cookie]);
  expect(kept[0]).not.toContain("tg-not-a-key");
  expect(kept.slice(1)).toEqual(["tg-not-a-key", ""]);
});

test("the live table shows a stream, stops it, and counts it among the ended", async () => {
  await page.goto(`${gate.url}#streams`);
  const answer = fetch(`${gate.url}api/v1/chat/stream`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "sim/prose?ttft=0&tps=20", messages: [{ role: "user", content: "x" }] }),
  }).then((response) => response.text());
  await page.waitForSelector("tbody button");
  expect(await page.textContent("tbody")).toContain("sim/prose");
  await page.getByRole("button", { name: /^Stop / }).click();
  expect(await answer).toContain("soft_stop");
  await page.waitForSelector(".end.stopped");
  expect(await page.textContent(".facts")).toMatch(/Tokens\d+/);
});

test("what safety rules found is drawn by rule, and never what it was", async () => {
  const asked = await fetch(`${gate.url}v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-tidegate-safety": "strict" },
    body: JSON.stringify({ model: "sim/prose?ttft=0&tps=0", stream: true, messages: [{ role: "user", content: "Write to ann@example.com and bob@example.com." }] }),
  });
  expect(await asked.text()).toContain("[DONE]");
  await page.goto(`${gate.url}#streams`);
  await page.waitForSelector(".rule");
  expect(await page.textContent(".rule")).toBe("email2");
  expect(await page.getAttribute(".rule svg", "aria-label")).toBe("email: 2 in the last 10 minutes");
  expect(await page.content()).not.toContain("example.com");
});

test("of 500 live streams only the rows near the window are in the document, and all can be scrolled to", async () => {
  const rows = Array.from({ length: 500 }, (_, at) => ({ id: String(at).padStart(32, "0"), client: "c", model: "m", upstream: "u", state: "streaming", duration: at, tokens: at, ttft: 0.1, tpot: 0.01, paused: false }));
  const body = `event: streams\ndata: ${JSON.stringify({ live: 500, streams: rows })}\n\n`;
  await page.route("**/v1/streams/events", (route) => route.fulfill({ contentType: "text/event-stream", body }));
  // The body ends at once: what it said is shown until the next try.
  await page.addInitScript(() => {
    const real = globalThis.fetch;
    globalThis.fetch = async (...given) => {
      const response = await real(...given);
      if (!String(given[0]).endsWith("/events")) return response;
      const text = await response.text();
      const open = new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode(text)) });
      return new Response(open, { headers: response.headers });
    };
  });
  await page.goto(`${gate.url}#streams`);
  await page.waitForSelector(".live tbody tr");
  expect(await page.textContent(".count")).toBe("500");
  expect(await page.locator(".live tbody tr").count()).toBeLessThan(90);
  expect(await page.getAttribute(".live table", "aria-rowcount")).toBe("501");
  await page.evaluate(() => document.querySelector(".live .scroll")?.scrollTo(0, 1e6));
  await page.waitForFunction(() => document.querySelector(".live tbody")?.textContent?.includes("00000499"));
});

test("a gateway that restarts is seen as gone, and again as there", async () => {
  const own = await gateway();
  const other = await context.newPage();
  await other.goto(`${own.url}#streams`);
  await other.waitForSelector(".live .hint");
  await own.stop();
  await other.waitForSelector(".live [role=alert]");
  expect(await other.textContent(".live [role=alert]")).toContain("does not answer");
  const again = await gateway(own.port);
  await other.waitForSelector(".live [role=alert]", { state: "detached" });
  await other.close();
  await again.stop();
  problems = problems.filter((problem) => !problem.startsWith(own.url));
});

test.each([
  ["light", 1100],
  ["dark", 1100],
  ["light", 360],
] as const)("axe finds nothing: %s, %i pixels wide", async (colorScheme, width) => {
  await page.emulateMedia({ colorScheme });
  await page.setViewportSize({ width, height: 800 });
  await ask("sim/markdown?ttft=0&tps=0");
  await page.waitForSelector(".turn.assistant[aria-busy=false]");
  for (const part of ["#chat", "#streams"]) {
    await page.evaluate((hash) => (location.hash = hash), part);
    await page.waitForTimeout(700);
    // The policy forbids scripts of strings to the page, and not to the debugger.
    const found = await page.evaluate(`${AXE}; axe.run(document, {resultTypes: ["violations"]}).then((result) => result.violations.map((one) => one.id + ": " + one.nodes.map((node) => node.html).join(" ").slice(0, 300)))`);
    expect(found).toEqual([]);
  }
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
});

test("everything can be reached with the keyboard, and Escape never moves the focus", async () => {
  await page.goto(gate.url);
  const reached = new Set<string>();
  for (let at = 0; at < 14; at++) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent?.slice(0, 12) || document.activeElement?.localName || ""));
  }
  expect([...reached]).toEqual(expect.arrayContaining(["Chat", "Streams", "prompt"]));
  await page.focus("#prompt");
  await page.keyboard.press("Escape");
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("prompt");
});

test("the page is small, and asks nobody else", async () => {
  const urls = new Set<string>();
  page.on("response", (response) => urls.add(response.url()));
  await page.goto(gate.url);
  await page.waitForSelector("#prompt");
  expect([...urls].filter((url) => !url.startsWith("data:")).length).toBeLessThanOrEqual(10);
  const policy = (await page.request.get(gate.url)).headers()["content-security-policy"];
  expect(policy).toContain("require-trusted-types-for 'script'; trusted-types tidegate-worker");
});


test.each([
  [502, "text/html", "<h1>Bad gateway</h1>", {}, "The server answered with status 502. Try again in a moment."],
  [200, "text/html", "<h1>Log in</h1>", {}, "not a stream (text/html)"],
  [401, "application/json", '{"error":{"message":"No key."}}', {}, "No key. Enter a key at the top of the page."],
  [429, "application/json", '{"error":{"message":"Slow down."}}', { "retry-after": "90" }, "Slow down. Try again in 90 s."],
])("what stands in the way is told, with what to do: %i %s", async (status, type, body, headers, said) => {
  await page.goto(gate.url);
  await page.route("**/api/v1/chat/stream", (route) => route.fulfill({ status, contentType: type, body, headers }));
  // Routes do not reach into the worker: without one, the page reads on its own.
  await page.addInitScript(() => Object.assign(globalThis, { Worker: undefined }));
  await ask("sim/prose");
  await page.waitForSelector(".turn .notice");
  expect(await notice()).toContain(said);
});
