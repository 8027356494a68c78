/** `make screenshot`: the README's picture, taken of a running gateway: a chat beside the streams, light and dark. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const out = process.argv[2] ?? "page.png";
const port = 18_473;
const url = `http://127.0.0.1:${port}/`;
const program = fileURLToPath(new URL("../.venv/bin/tidegate", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "tidegate-picture-"));
const gateway = spawn(program, ["serve", "--port", String(port)], { stdio: "ignore", env: { ...process.env, XDG_DATA_HOME: folder } });
const gone = new Promise((done) => gateway.on("exit", done));
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });

async function ready() {
  for (let tries = 0; tries < 300; tries++) {
    if (await fetch(`${url}readyz`).then((answer) => answer.ok, () => false)) return;
    await new Promise((wake) => setTimeout(wake, 100));
  }
  throw new Error("The gateway did not start.");
}

/** Streams that somebody else reads: some of them end, some still run when the picture is taken. */
function traffic() {
  const models = ["sim/prose?tps=200", "sim/markdown?tps=300", "sim/code?tps=150", "sim/reasoning?tps=90", "sim/prose?tps=12", "sim/markdown?tps=15", "sim/cut-after-9", "sim/emoji?tps=20"];
  for (let at = 0; at < 60; at++) {
    const body = JSON.stringify({ model: models[at % models.length], messages: [{ role: "user", content: "Hello" }] });
    setTimeout(() => fetch(`${url}api/v1/chat/stream`, { method: "POST", headers: { "content-type": "application/json" }, body }).then((answer) => answer.text()).catch(() => {}), at * 100);
  }
}

try {
  await ready();
  const shots = [];
  for (const [part, colorScheme] of [["#chat", "light"], ["#streams", "dark"]]) {
    const page = await browser.newPage({ viewport: { width: 720, height: 860 }, colorScheme, deviceScaleFactor: 1.5 });
    await page.goto(url + part);
    if (part === "#chat") {
      await page.fill("input[list=models]", "sim/markdown?ttft=0.1&tps=300");
      await page.fill("#prompt", "Why does the sea rise twice a day?");
      await page.press("#prompt", "Enter");
      await page.waitForSelector(".turn.assistant[aria-busy=false] .figures");
      await page.evaluate(() => scrollTo(0, 0));
    } else {
      traffic();
      await page.waitForTimeout(7000);
    }
    shots.push((await page.screenshot()).toString("base64"));
    await page.close();
  }
  const both = await browser.newPage({ viewport: { width: 1440, height: 860 }, deviceScaleFactor: 1.5 });
  await both.setContent(`<body style="margin:0;display:flex">${shots.map((shot) => `<img width="720" src="data:image/png;base64,${shot}">`).join("")}`);
  await both.screenshot({ path: out });
} finally {
  await browser.close();
  gateway.kill();
  await gone;
  rmSync(folder, { recursive: true, force: true });
}
