/**
 * `node streams.mjs [--save]`: the client library in Chromium, before a running gateway and a simulated model server.
 *
 * abort   from the page's cancel to the model server's seeing it, p50 and p99 of 100
 * left    the same for 20 tabs that are closed, and 20 that go to another page, half a second after their first token
 *         (before that the browser is still busy starting the next tab's process). In turns with them, a page of a plain
 *         `fetch`, without the library: how soon the browser by itself lets go of a connection here
 * many    20 streams of 1,000 tokens/s each in one page, read in its worker, their texts added up by the page and counted
 *         once a frame: share of the main thread's CPU, and of the idle page (painting text is the other benchmark's)
 * paint   from a first delta's arrival in the page to the frame in which it has been painted, 40 answers
 *
 * The clocks of page, Node and model server are the same machine's; the offset between wall clock and monotonic clock
 * is taken once.
 */
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { createServer as listen } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { quantile, save, table } from "./results.mjs";

const PROGRAM = process.env.TIDEGATE ?? fileURLToPath(new URL("../../.venv/bin/tidegate", import.meta.url));
const ORIGINS = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"]; // four streams each: HTTP/1.1 has six places
const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

const freePort = () =>
  new Promise((found) => {
    const server = listen().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => found(port));
    });
  });
const children = [];
const folder = mkdtempSync(join(tmpdir(), "tidegate-bench-")); // for its ledger
async function start(port, path, environ, ...command) {
  const child = spawn(PROGRAM, [...command, "--port", String(port)], { stdio: "ignore", env: { ...process.env, XDG_DATA_HOME: folder, ...environ } });
  children.push(child);
  for (let tries = 0; tries < 300; tries++) {
    if (await fetch(`http://127.0.0.1:${port}${path}`).then(({ ok }) => ok, () => false)) return;
    await new Promise((wake) => setTimeout(wake, 100));
  }
  throw new Error(`${command.join(" ")} did not start`);
}
const wait = (ms) => new Promise((wake) => setTimeout(wake, ms));

const { outputFiles } = await build({
  stdin: {
    contents: 'export * from "../src/client/index.ts"; export { PacedText } from "../src/text/index.ts"; import * as all from "../src/client/index.ts"; import { PacedText } from "../src/text/index.ts"; globalThis.library = { ...all, PacedText };',
    resolveDir: fileURLToPath(new URL(".", import.meta.url)),
    loader: "ts",
  },
  bundle: true,
  write: false,
  format: "esm",
  target: "es2022",
  outfile: "/page.js",
});
const worker = await build({ entryPoints: [fileURLToPath(new URL("../src/client/worker.ts", import.meta.url))], bundle: true, write: false, format: "esm", target: "es2022", outfile: "/worker.js" });
const files = new Map([["/page.js", outputFiles[0].text], ["/worker.js", worker.outputFiles[0].text]]);
const server = createServer(({ url }, response) => {
  const script = files.get(url);
  response.writeHead(200, { "content-type": script ? "text/javascript" : "text/html; charset=utf-8" });
  response.end(script ?? '<!doctype html><meta charset="utf-8"><title>streams</title><main></main><script type="module" src="/page.js"></script>');
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const site = `http://127.0.0.1:${server.address().port}`;
const [model, gateway] = [await freePort(), await freePort()];
await start(model, "/v1/models", {}, "simulate");
await start(gateway, "/readyz", { TIDEGATE_AUTH__ANONYMOUS: "true", TIDEGATE_SERVER__CORS_ORIGINS: JSON.stringify([site]), LLM_API_KEY: "sk-bench" }, "serve", "--host", "0.0.0.0", "--upstream", `http://127.0.0.1:${model}/v1`);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });

const aborts = async () => (await (await fetch(`http://127.0.0.1:${model}/sim/stats`)).json()).aborts;
async function open() {
  const page = await browser.newPage();
  await page.goto(site);
  await page.waitForFunction(() => "library" in globalThis);
  return page;
}
/** Milliseconds of the monotonic clock at the epoch of the page's `performance.timeOrigin + performance.now()`. */
const offset = performance.timeOrigin + performance.now() - Number(process.hrtime.bigint()) / 1e6;
async function abortedAt(count) {
  for (let tries = 0; tries < 800; tries++) {
    const found = await aborts();
    if (found.length >= count) return found[count - 1].at * 1000 + offset;
    await wait(25); // the time is the model server's: to ask more often would only load it
  }
  throw new Error("an abort never reached the model server");
}

async function measureAborts() {
  const page = await open();
  const times = [];
  for (let round = 1; round <= 100; round++) {
    const at = await page.evaluate(async ({ endpoint, ask }) => {
      const stream = new library.LLMStreamClient({ endpoint }).stream(ask);
      let left = 5;
      for await (const event of stream) {
        if (event.type !== "text" || --left) continue;
        const now = performance.timeOrigin + performance.now();
        stream.cancel();
        return now;
      }
    }, { endpoint: `http://127.0.0.1:${gateway}/v1/chat/completions`, ask: ASK });
    times.push((await abortedAt(round)) - at);
  }
  await page.close();
  return times;
}

const ASK = { model: "sim/prose?ttft=0&tps=200&tokens=100000", messages: [{ role: "user", content: "x" }], max_tokens: 100000 };
/** In the page: a stream is being read once these resolve. */
const READ = {
  library: async ({ endpoint, ask }) => {
    const stream = new library.LLMStreamClient({ endpoint }).stream(ask);
    await new Promise((seen) => void (async () => { for await (const event of stream) if (event.type === "text") seen(); })().catch(() => {}));
  },
  fetch: async ({ endpoint, ask }) => {
    const response = await fetch(endpoint, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ...ask, stream: true }) });
    const reader = response.body.getReader();
    await reader.read();
    void (async () => { while (!(await reader.read()).done); })().catch(() => {});
  },
};
const LEAVE = { closed: (page) => page.close(), navigated: (page) => page.goto("about:blank") };

/** Of each way to leave and to read: milliseconds until the model server's side was closed. */
async function measureLeaving() {
  const found = { closed: { library: [], fetch: [] }, navigated: { library: [], fetch: [] } };
  let count = (await aborts()).length;
  for (let round = 0; round < 20; round++) {
    for (const [way, leave] of Object.entries(LEAVE)) {
      for (const [reader, read] of Object.entries(READ)) {
        const page = await open();
        await page.evaluate(read, { endpoint: `http://127.0.0.1:${gateway}/v1/chat/completions`, ask: ASK });
        await wait(500);
        const at = performance.timeOrigin + performance.now();
        const left = leave(page);
        found[way][reader].push((await abortedAt(++count)) - at);
        await left;
        if (!page.isClosed()) await page.close();
      }
    }
  }
  return found;
}

async function measureMany() {
  const page = await open();
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
  const task = async () => (await cdp.send("Performance.getMetrics")).metrics.find(({ name }) => name === "TaskDuration").value;
  const share = async (seconds) => {
    const [before, began] = [await task(), performance.now()];
    await wait(seconds * 1000);
    return (await task() - before) / ((performance.now() - began) / 1000);
  };
  const idle = await share(3);
  await page.evaluate(({ origins, port }) => {
    globalThis.got = 0;
    globalThis.streams = origins.flatMap((origin) =>
      Array.from({ length: 4 }, () => {
        const place = document.querySelector("main").appendChild(document.createElement("p"));
        let shown = 0;
        const text = new library.PacedText((piece) => (place.textContent = String((shown += piece.length))));
        const stream = new library.LLMStreamClient({ endpoint: `http://${origin}:${port}/v1/chat/completions` }).stream({ model: "sim/prose?ttft=0&tps=1000&tokens=12000", messages: [{ role: "user", content: "x" }], max_tokens: 12000 });
        void (async () => { for await (const event of stream) if (event.type === "text") text.push(event.text); })().catch(() => {});
        return stream;
      }),
    );
  }, { origins: ORIGINS, port: gateway });
  await page.waitForFunction(() => globalThis.streams.every(({ text }) => text.length > 100));
  const count = () => page.evaluate(() => globalThis.streams.reduce((sum, { text }) => sum + text.length, 0));
  const [before, began] = [await count(), performance.now()];
  const busy = await share(5);
  const characters = ((await count()) - before) / ((performance.now() - began) / 1000);
  await page.close();
  return { idle, busy, characters };
}

async function measurePaint() {
  const page = await open();
  const found = await page.evaluate(async (endpoint) => {
    const times = [];
    for (let round = 0; round < 40; round++) {
      const place = document.querySelector("main").appendChild(document.createElement("p"));
      const stream = new library.LLMStreamClient({ endpoint }).stream({ model: "sim/prose?ttft=0.03&tps=50&tokens=6", messages: [{ role: "user", content: "x" }] });
      for await (const event of stream) {
        if (event.type !== "text" || place.firstChild) continue;
        const came = performance.now();
        const text = new library.PacedText((piece) => place.append(piece));
        text.push(event.text);
        // Two frames: the first callback comes before its paint, the second after it.
        void new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted))).then(() => times.push(performance.now() - came));
      }
    }
    return times;
  }, `http://127.0.0.1:${gateway}/v1/chat/completions`);
  await page.close();
  return found;
}

try {
  const times = await measureAborts();
  const left = await measureLeaving();
  const { idle, busy, characters } = await measureMany();
  const painted = await measurePaint();
  const both = (values) => `${quantile(values, 0.5).toFixed(1)} / ${quantile(values, 0.99).toFixed(1)} ms`;
  const found = table(["figure", "measured", "must", "aim"], [
    ["cancel → model server, p50 / p99 of 100", both(times), "≤ 25 ms", ""],
    ["tab closed → model server, p50 / p99 of 20", both(left.closed.library), "≤ 80 ms", ""],
    ["… of a plain fetch, without the library", both(left.closed.fetch), "", ""],
    ["another page → model server, p50 / p99 of 20", both(left.navigated.library), "", ""],
    ["… of a plain fetch", both(left.navigated.fetch), "", ""],
    [`20 streams, ${Math.round(characters)} characters/s: share of the main thread (idle ${(idle * 100).toFixed(1)} %)`, `${(busy * 100).toFixed(1)} %`, "≤ 20 %", "≤ 10 %"],
    ["first delta here → painted, p50 / p99 of 40", both(painted), "≤ 33 ms", "1 frame"],
  ]);
  console.log(`\n## The client library before a gateway\n\n${found}`);
  if (process.argv.includes("--save")) save("web-client", "The client library before a gateway", found, { times, left, idle, busy, characters, painted });
} finally {
  await browser.close();
  server.close();
  const gone = children.map((child) => new Promise((done) => child.on("exit", done)));
  for (const child of children) child.kill("SIGTERM");
  await Promise.all(gone);
  rmSync(folder, { recursive: true, force: true });
}
