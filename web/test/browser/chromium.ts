/** Debian's Chromium, driven by playwright-core; pages from a bundle that is made for the test. */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium, type Browser, type Page } from "playwright-core";

export const FLAGS = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}

/** A module of this folder as one script. */
export async function bundle(name: string): Promise<string> {
  const entry = fileURLToPath(new URL(name, import.meta.url));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, write: false, format: "iife", target: "es2022", logLevel: "error" });
  return outputFiles[0]!.text;
}

export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "require-trusted-types-for 'script'; trusted-types tidegate-worker";

/**
 * A page at `http://test.local/` that runs `script` under the policy of the gateway's page. Every other request is
 * refused and noted in `requests`.
 */
export async function open(browser: Browser, script: string): Promise<{ page: Page; requests: string[]; errors: string[] }> {
  const page = await browser.newPage();
  const requests: string[] = [];
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("dialog", (dialog) => (errors.push(`dialog: ${dialog.message()}`), void dialog.dismiss()));
  await page.route("**/*", async (route) => {
    const url = route.request().url();
    const headers = { "content-security-policy": POLICY };
    if (url === "http://test.local/")
      return route.fulfill({ contentType: "text/html", headers, body: '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body><main id="root"></main><script src="/script.js"></script>' });
    if (url === "http://test.local/script.js") return route.fulfill({ contentType: "text/javascript; charset=utf-8", body: script });
    requests.push(url);
    return route.abort();
  });
  await page.goto("http://test.local/");
  return { page, requests, errors };
}
