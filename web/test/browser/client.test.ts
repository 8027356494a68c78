/** The library in a page, as an application has it: its examples, its worker, its places, its aborts. */
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Browser, Page } from "playwright-core";
import { delta, sse } from "../peer.ts";
import { launch } from "./chromium.ts";
import { gateway, type Gateway } from "./gateway.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const files = new Map<string, string>();
let browser: Browser;
let gate: Gateway;
let server: Server;
let origin: string;
/** Of the server's own streams: how long after the page's word each was closed. */
let closed: number[] = [];
/** How many of them were asked for so far. */
let begun = 0;

/** Serves the examples and `slow`, a stream without end; passes everything else on to the gateway. */
function serve(): Server {
  return createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://x");
    const file = files.get(pathname.slice(1));
    if (file !== undefined) {
      const type = pathname.endsWith(".html") ? "text/html" : pathname.endsWith(".css") ? "text/css" : "text/javascript";
      response.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(file);
      return;
    }
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    if (pathname === "/slow") {
      begun++;
      // As the gateway does: of a connection that could be kept, Chromium reads on for up to 5 s after an abort.
      response.writeHead(200, { "content-type": "text/event-stream", connection: "close" });
      response.write(sse(delta("first ")));
      const timer = setInterval(() => response.write(sse(delta("more "))), 20);
      response.on("close", () => {
        clearInterval(timer);
        closed.push(Date.now());
      });
      return;
    }
    const abort = new AbortController();
    response.on("close", () => abort.abort());
    try {
      const headers = { "content-type": "application/json", accept: request.headers.accept ?? "*/*" };
      const body = request.method === "GET" ? null : Buffer.concat(parts);
      const answer = await fetch(gate.url + (request.url ?? "").slice(1), { method: request.method ?? "GET", headers, body, signal: abort.signal });
      const id = answer.headers.get("x-stream-id");
      response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "text/plain", ...(id && { "x-stream-id": id }) });
      for await (const piece of answer.body ?? []) response.write(piece);
      response.end();
    } catch {
      response.destroy();
    }
  });
}

beforeAll(async () => {
  [browser, gate] = await Promise.all([launch(), gateway()]);
  const { outputFiles } = await build({
    entryPoints: { vanilla: here("../../examples/vanilla.ts"), react: here("../../examples/react.tsx"), worker: here("../../src/client/worker.ts"), library: here("../../src/client/index.ts"), text: here("../../src/text/index.ts") },
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    outdir: "/out",
    tsconfig: here("../../tsconfig.json"),
    define: { "process.env.NODE_ENV": '"development"' },
    jsx: "automatic",
  });
  for (const { path, text } of outputFiles) files.set(path.replace("/out/", ""), text);
  for (const name of ["vanilla.html", "react.html"]) files.set(name, await readFile(here(`../../examples/${name}`), "utf8"));
  files.set("markdown.css", await readFile(here("../../src/markdown/markdown.css"), "utf8"));
  files.set("empty.html", "<!doctype html><title>x</title>");
  server = serve();
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server?.closeAllConnections();
  server?.close();
  await Promise.all([browser?.close(), gate?.stop()]);
});

async function blank(): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(`${origin}/empty.html`);
  await page.addScriptTag({ type: "module", content: "import * as library from '/library.js'; import { PacedText } from '/text.js'; globalThis.library = { ...library, PacedText };" });
  await page.waitForFunction(() => "library" in globalThis);
  return page;
}

test.each(["vanilla", "react"])("the %s example shows an answer, and stops one", async (name) => {
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && !message.text().includes("404") && errors.push(message.text()));
  await page.goto(`${origin}/${name}.html?model=sim/prose%3Fttft=0%26tps=500`);
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForFunction(() => /^stop, \d+ tokens$/.test(document.querySelector("[role=status]")?.textContent ?? ""));
  expect((await page.textContent(".tg-markdown"))!.length).toBeGreaterThan(100);
  await page.goto(`${origin}/${name}.html?model=sim/prose%3Fttft=0%26tps=30`);
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForFunction(() => (document.querySelector(".tg-markdown")?.textContent ?? "").length > 20);
  await page.click("#stop");
  await page.waitForFunction(() => /^stopped, \d+ tokens$/.test(document.querySelector("[role=status]")?.textContent ?? ""));
  expect(errors).toEqual([]);
  await page.close();
});

test("settled blocks are painted by themselves, the growing one is not, and a header with a z-index stays above them", async () => {
  const page = await browser.newPage();
  await page.goto(`${origin}/vanilla.html?model=sim/markdown%3Fttft=0%26tps=2000`);
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForFunction(() => /^stop, /.test(document.querySelector("[role=status]")?.textContent ?? ""));
  const found = await page.evaluate(() => {
    const blocks = [...document.querySelectorAll(".tg-markdown > *")];
    const header = document.body.appendChild(document.createElement("header"));
    header.style.cssText = "position: fixed; inset: 0; z-index: 1";
    blocks[0]!.scrollIntoView();
    const { x, y } = blocks[0]!.getBoundingClientRect();
    return { isolated: blocks.map((block) => getComputedStyle(block).isolation), above: document.elementFromPoint(x + 4, y + 4) === header };
  });
  expect(found.isolated.length).toBeGreaterThan(3);
  expect(found.isolated.pop()).toBe("auto");
  expect(new Set(found.isolated)).toEqual(new Set(["isolate"]));
  expect(found.above).toBe(true);
  await page.close();
});

test("a tab that nobody sees has no frames, and its answer is whole when somebody looks", async () => {
  const page = await browser.newPage();
  await page.addInitScript(() => {
    Object.defineProperty(document, "visibilityState", { get: () => "hidden" });
    globalThis.requestAnimationFrame = () => 0;
  });
  await page.goto(`${origin}/vanilla.html?model=sim/prose%3Fttft=0%26tps=60`);
  await page.getByRole("button", { name: "Send" }).click();
  await page.evaluate(() => {
    const writes: number[] = [];
    new MutationObserver(() => writes.push(performance.now())).observe(document.querySelector("article") as Element, { childList: true, subtree: true, characterData: true });
    Object.assign(globalThis, { writes });
  });
  await page.waitForFunction(() => /^stop, /.test(document.querySelector("[role=status]")?.textContent ?? ""), undefined, { polling: 200 });
  const writes = await page.evaluate(() => (globalThis as unknown as { writes: number[] }).writes);
  expect((await page.textContent(".tg-markdown"))!.length).toBeGreaterThan(100);
  const close = writes.slice(1, -1).filter((at, place) => at - (writes[place] as number) < 500);
  expect(writes.length).toBeGreaterThan(1);
  expect(close).toEqual([]);
  await page.close();
});

test("a React component that goes takes its stream with it", async () => {
  const page = await browser.newPage();
  await page.goto(`${origin}/react.html?model=sim/prose%3Fttft=0%26tps=20`);
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForFunction(() => (document.querySelector(".tg-markdown")?.textContent ?? "").length > 5);
  await page.click("#close");
  await expect.poll(async () => (await gate.json<{ data: object[] }>("v1/streams")).data.length).toBe(0);
  expect(gate.log()).toContain("client_cancel");
  await page.close();
});

interface Library {
  LLMStreamClient: typeof import("../../src/client/index.ts").LLMStreamClient;
  PacedText: typeof import("../../src/text/index.ts").PacedText;
}
declare const library: Library;

test("one worker per page reads all its streams; without it the same comes on the main thread", async () => {
  const page = await blank();
  const end = await page.evaluate(async () => {
    const client = new library.LLMStreamClient({ endpoint: "/api/v1/chat/stream" });
    const ask = { model: "sim/prose?ttft=0&tps=2000", messages: [{ role: "user", content: "x" }] };
    const both = await Promise.all([client.stream(ask).result, client.stream(ask).result]);
    const here = await client.stream(ask, { worker: false }).result;
    return { ends: [...both, here].map(({ end }) => end), same: both[0]!.text === here.text && both[1]!.text === here.text, length: here.text.length };
  });
  expect(end).toMatchObject({ ends: ["stop", "stop", "stop"], same: true });
  expect(end.length).toBeGreaterThan(100);
  expect(page.workers()).toHaveLength(1);
  await page.close();
});

test("what several streams have to say comes together: a message a frame, not one for each", async () => {
  const page = await blank();
  const found = await page.evaluate(async () => {
    let messages = 0;
    globalThis.Worker = class extends Worker {
      constructor(...given: ConstructorParameters<typeof Worker>) {
        super(...given);
        this.addEventListener("message", () => messages++);
      }
    };
    const client = new library.LLMStreamClient({ endpoint: "/api/v1/chat/stream" });
    const ask = { model: "sim/prose?ttft=0&tps=300&tokens=300", messages: [{ role: "user", content: "x" }] };
    await client.stream(ask).result;
    const began = performance.now();
    messages = 0;
    let told = 0;
    const all = Array.from({ length: 4 }, () => client.stream(ask, {}, { events: () => told++ }).result);
    const texts = (await Promise.all(all)).map(({ end, text }) => `${end} ${text}`);
    return { messages, told, frames: (performance.now() - began) / 16, different: new Set(texts).size, length: texts[0]?.length };
  });
  expect(found.different).toBe(1);
  expect(found.length).toBeGreaterThan(500);
  // Beside those: of each stream its head, first text and end, that it is gone, and a sign of life each second.
  expect(found.messages).toBeLessThan(found.frames + 4 * 8);
  expect(found.messages).toBeLessThan(0.7 * found.told);
  await page.close();
});

test("twenty texts ask for one frame, and one that throws harms no other", async () => {
  const page = await blank();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  const counted = await page.evaluate(async () => {
    let [asked, written] = [0, 0];
    const real = requestAnimationFrame;
    globalThis.requestAnimationFrame = (callback) => (asked++, real(callback));
    for (let at = 0; at < 20; at++)
      new library.PacedText(() => {
        if (at === 3) throw new Error("mine");
        written++;
      }).push("text");
    await new Promise((wake) => setTimeout(wake, 1500));
    return { asked, written };
  });
  expect({ ...counted, errors }).toEqual({ asked: 1, written: 19, errors: ["mine"] });
  await page.close();
});

test("a page that forbids the worker streams on the main thread", async () => {
  const page = await blank();
  const end = await page.evaluate(async () => {
    const client = new library.LLMStreamClient({ endpoint: "/api/v1/chat/stream", worker: "/no-such-worker.js" });
    return (await client.stream({ model: "sim/prose?ttft=0&tps=2000", messages: [{ role: "user", content: "x" }] }).result).end;
  });
  expect(end).toBe("stop");
  await page.close();
});

test("abort, cancelled iteration, and a closed tab reach the server", async () => {
  closed = [];
  begun = 0;
  const times: number[] = [];
  const page = await blank();
  for (let round = 0; round < 5; round++) {
    for (const way of ["cancel", "break", "signal"]) {
      const at = await page.evaluate(async (how) => {
        const abort = new AbortController();
        const stream = new library.LLMStreamClient({ endpoint: "/slow", signal: abort.signal }).stream({ messages: [] });
        for await (const event of stream) {
          if (event.type !== "text") continue;
          if (how === "break") break;
          if (how === "cancel") stream.cancel();
          else abort.abort();
        }
        return Date.now();
      }, way);
      const before = times.length;
      await expect.poll(() => closed.length, { interval: 5 }).toBe(before + 1);
      times.push((closed.at(-1) as number) - at);
    }
  }
  console.log(`abort → server's connection closed, ms: ${times.sort((a, b) => a - b).join(" ")}`);
  await page.evaluate(() => void new library.LLMStreamClient({ endpoint: "/slow" }).stream({ messages: [] }));
  await expect.poll(() => begun, { interval: 5 }).toBe(16);
  const left = Date.now();
  await page.close();
  await expect.poll(() => closed.length, { interval: 5 }).toBe(16);
  console.log(`tab closed → server's connection closed: ${(closed.at(-1) as number) - left} ms`);
});

test("a page that goes ends its streams first, and reports then", async () => {
  const page = await blank();
  const order = await page.evaluate(async () => {
    const said: string[] = [];
    globalThis.Worker = class extends Worker {
      override postMessage(call: { request?: object }): void {
        if (!call.request) said.push("abort");
        super.postMessage(call);
      }
    };
    navigator.sendBeacon = () => said.push("report") > 0;
    const stream = new library.LLMStreamClient({ endpoint: "/api/v1/chat/stream" }).stream({ model: "sim/prose?ttft=0&tps=30", messages: [{ role: "user", content: "x" }] });
    while (stream.state !== "streaming") await new Promise((wake) => setTimeout(wake, 10));
    dispatchEvent(new Event("pagehide"));
    return [...said, (await stream.result).end];
  });
  expect(order).toEqual(["abort", "report", "cancelled"]);
  await page.close();
});

test("on HTTP/1.1 the fifth stream of an origin waits, with its place, also in another tab", async () => {
  const context = await browser.newContext();
  const one = await context.newPage();
  const two = await context.newPage();
  for (const page of [one, two]) {
    await page.goto(`${origin}/empty.html`);
    await page.addScriptTag({ type: "module", content: "import * as library from '/library.js'; globalThis.library = library;" });
    await page.waitForFunction(() => "library" in globalThis);
  }
  await one.evaluate(async () => {
    const client = new library.LLMStreamClient({ endpoint: "/slow" });
    const streams = [1, 2, 3, 4].map(() => client.stream({ messages: [] }));
    Object.assign(globalThis, { streams });
    while (!streams.every(({ state }) => state === "streaming")) await new Promise((wake) => setTimeout(wake, 20));
  });
  const states = await two.evaluate(async () => {
    const client = new library.LLMStreamClient({ endpoint: "/slow" });
    const waiting = [client.stream({ messages: [] }), client.stream({ messages: [] })];
    Object.assign(globalThis, { waiting });
    while (!waiting.every(({ state }) => state === "queued")) await new Promise((wake) => setTimeout(wake, 20));
    return waiting.map(({ place }) => place).sort();
  });
  expect(states).toEqual([1, 2]);
  // Two connections are free for what cannot wait, such as a stop.
  expect(await two.evaluate(async () => (await fetch("/healthz")).status)).toBe(200);
  await one.evaluate(() => (globalThis as unknown as { streams: { cancel(): void }[] }).streams[0]!.cancel());
  await two.waitForFunction(() => (globalThis as unknown as { waiting: { state: string }[] }).waiting.some(({ state }) => state === "streaming"));
  await context.close();
});
