/**
 * `node build.mjs` builds the page into `src/tidegate/server/static`; `node build.mjs package` the npm package into
 * `dist`. esbuild bundles, TypeScript writes the declarations.
 */
import { execFileSync } from "node:child_process";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const common = {
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  platform: "browser",
  legalComments: "none",
  logLevel: "warning",
};

/** Modules of the package, each with its own bundle: `client.js`, `text.js`, … */
const ENTRIES = {
  client: here("src/client/index.ts"),
  text: here("src/text/index.ts"),
  markdown: here("src/markdown/index.ts"),
  react: here("src/react/index.tsx"),
  worker: here("src/client/worker.ts"),
};

export async function buildPackage(out = here("dist")) {
  await rm(out, { recursive: true, force: true });
  // What two entries share is in one chunk: an application that uses both has one worker and one queue.
  await build({ ...common, entryPoints: ENTRIES, outdir: out, splitting: true, external: ["react"], jsxImportSource: "react", jsx: "automatic" });
  execFileSync(process.execPath, [here("node_modules/typescript/bin/tsc"), "-p", here("tsconfig.package.json"), "--outDir", out], { stdio: "inherit" });
  await cp(here("src/markdown/markdown.css"), `${out}/markdown.css`);
}

export async function buildPage(out = here("../src/tidegate/server/static")) {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  await build({
    ...common,
    entryPoints: { page: here("src/page/main.tsx"), worker: ENTRIES.worker },
    outdir: out,
    jsx: "automatic",
    jsxImportSource: "preact",
  });
  await build({ ...common, entryPoints: { page: here("src/page/page.css") }, outdir: out, loader: { ".svg": "dataurl" } });
  await writeFile(`${out}/index.html`, await readFile(here("src/page/index.html")));
}

if (process.argv[1] === here("build.mjs")) await (process.argv[2] === "package" ? buildPackage() : buildPage());
