import { gzipSync } from "node:zlib";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { expect, test } from "vitest";

const here = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

async function size(entry: string): Promise<number> {
  const { outputFiles } = await build({ entryPoints: [here(entry)], bundle: true, minify: true, write: false, format: "esm", target: "es2022", jsx: "automatic", jsxImportSource: "preact" });
  return gzipSync(outputFiles[0]!.contents, { level: 9 }).length;
}

test.each([
  ["src/client/index.ts", 8],
  ["src/markdown/index.ts", 15],
  ["src/text/index.ts", 2],
  ["src/client/worker.ts", 4],
])("%s is at most %i KiB, minified and compressed", async (entry, most) => {
  expect(await size(entry)).toBeLessThanOrEqual(most * 1024);
});

test("the page is at most 60 KiB, all in", async () => {
  const parts = [await size("src/page/main.tsx"), await size("src/client/worker.ts"), await size("src/page/page.css")];
  const html = gzipSync(readFileSync(here("src/page/index.html"))).length;
  expect(parts.reduce((sum, part) => sum + part, html)).toBeLessThanOrEqual(60 * 1024);
});
