/**
 * `node run.mjs [--only tidegate,streamdown] [--case mix] [--rounds 3] [--save]`: designs side by side in Chromium.
 *
 * The page is scrolled to its end each frame. `ms` is CPU time of the main thread from the first token to the last, the
 * idle page's share included; `growth` is script and layout of the last tenth of the text by those of the first. With
 * several rounds the designs take turns, figures are medians, and ratios are taken within each round. All have our
 * stylesheet, for the same looks; its `isolation`, which nobody sees and which makes paints cheaper, the peers have not,
 * but for `streaming-markdown+isolation`: what is between that one and `tidegate` is script.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { median, save, table } from "./results.mjs";

const CASES = {
  mix: { text: "mix", size: 50_000, rate: 1000, limit: 30_000, title: "50,000 characters, 1,000 tokens/s" },
  fast: { text: "mix", size: 200_000, rate: 10_000, limit: 20_000, title: "200,000 characters, 10,000 tokens/s" },
  slow: { text: "mix", size: 20_000, rate: 1000, limit: 20_000, cpu: 6, title: "20,000 characters, 1,000 tokens/s, CPU slowed 6 times" },
  fence: { text: "fence", size: 50_000, rate: 2500, limit: 15_000, title: "one fence, 50,000 characters, 5 s" },
  list: { text: "list", size: 50_000, rate: 2500, limit: 15_000, title: "one list" },
  table: { text: "table", size: 50_000, rate: 2500, limit: 15_000, title: "one table" },
  paragraph: { text: "paragraph", size: 50_000, rate: 2500, limit: 15_000, title: "one paragraph" },
};
const DESIGNS = ["idle", "tidegate", "streaming-markdown", "streaming-markdown+isolation", "streamdown", "marked+DOMPurify", "react-markdown"];

const { values } = parseArgs({ options: { only: { type: "string" }, case: { type: "string" }, rounds: { type: "string", default: "1" }, save: { type: "boolean" } } });
const designs = values.only?.split(",") ?? DESIGNS;
const cases = values.case?.split(",") ?? Object.keys(CASES);
for (const [name, known] of [...designs.map((each) => [each, DESIGNS]), ...cases.map((each) => [each, Object.keys(CASES)])])
  if (!known.includes(name)) throw new Error(`There is no ${name}; there are ${known.join(", ")}.`);

const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL("page.jsx", import.meta.url))],
  bundle: true,
  minify: true,
  write: false,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "react",
  define: { "process.env.NODE_ENV": '"production"' },
  loader: { ".css": "empty" },
  logLevel: "error",
  outdir: "/out",
  splitting: true,
});
const scripts = new Map(outputFiles.map(({ path, contents }) => [path.replace("/out", ""), contents]));
const HTML = `<!doctype html><meta charset="utf-8"><style>body{font:16px/1.5 sans-serif;margin:0}#box{height:100vh;overflow-y:auto;padding:0 1rem}${await readFile(new URL("../src/markdown/markdown.css", import.meta.url), "utf8")}.tg-markdown.peer > *{isolation:auto}</style><div id="box"></div><script type="module" src="/page.js"></script>`;
const server = createServer((request, response) => {
  const script = scripts.get(request.url);
  response.writeHead(200, { "content-type": script ? "text/javascript" : "text/html" }).end(script ?? HTML);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const url = `http://127.0.0.1:${server.address().port}/`;
const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });

async function measure(design, name) {
  const { cpu = 1, ...plan } = CASES[name];
  const page = await browser.newPage({ viewport: { width: 900, height: 900 } });
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
  const marks = [];
  await page.exposeFunction("tenth", async (at) => {
    const { metrics } = await cdp.send("Performance.getMetrics");
    const value = (wanted) => metrics.find((metric) => metric.name === wanted).value * 1000;
    marks[at] = { task: value("TaskDuration"), work: value("ScriptDuration") + value("LayoutDuration") + value("RecalcStyleDuration") };
  });
  let broken;
  page.on("pageerror", (error) => (broken ??= error));
  await page.goto(url);
  await page.waitForFunction(() => "run" in window);
  if (cpu > 1) await cdp.send("Emulation.setCPUThrottlingRate", { rate: cpu });
  const seen = await page.evaluate((what) => window.run(what), { design, ...plan });
  await page.close();
  // A design that shows nothing is quick.
  if (broken) throw new Error(`${design}: ${broken.message.slice(0, 200)}`);
  const growth = marks[1] && marks[9] && marks[10] ? (marks[10].work - marks[9].work) / (marks[1].work - marks[0].work) : NaN;
  return { ...seen, ms: marks[10].task - marks[0].task, work: marks[10].work - marks[0].work, growth };
}

const HEAD = ["design", "main thread ms", "× streaming-markdown", "× streamdown", "script+layout ms", "longest task", "p99 frame gap", "max gap", "frames", "growth", "fed", "characters on the page"];

/** Median over the rounds of this design's main-thread time by the peer's in the same round. */
function ratio(runs, peer) {
  const found = peer?.map(({ ms }, round) => runs[round].ms / ms);
  return found ? median(found).toFixed(2) : "";
}

function cells(design, byDesign) {
  const runs = byDesign.get(design);
  const of = (name) => median(runs.map((run) => run[name]));
  const ratios = ["streaming-markdown", "streamdown"].map((peer) => (design === peer || design === "idle" ? "" : ratio(runs, byDesign.get(peer))));
  const longest = of("longest");
  return [design, of("ms").toFixed(0), ...ratios, of("work").toFixed(0), longest ? longest.toFixed(0) : "< 50", of("p99").toFixed(1), of("max").toFixed(0), of("frames"), design === "idle" ? "" : of("growth").toFixed(2), `${Math.round(of("shown") * 100)} %`, of("visible")];
}

const tables = [];
const figures = {};
for (const name of cases) {
  const byDesign = new Map(designs.map((design) => [design, []]));
  for (let round = 0; round < Number(values.rounds); round++)
    for (const [design, runs] of byDesign) runs.push(await measure(design, name));
  tables.push(`## ${CASES[name].title}\n\n${table(HEAD, designs.map((design) => cells(design, byDesign)))}`);
  console.log(`\n${tables.at(-1)}`);
  figures[name] = Object.fromEntries(byDesign);
}
if (values.save) save("web-markdown", "Markdown in the browser, beside its peers", tables.join("\n\n"), { cases: figures });
await browser.close();
server.close();
