/** The package as npm would publish it, in an empty project: it installs, it runs, its types hold. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const web = fileURLToPath(new URL("../..", import.meta.url));
let project: string;
const run = (command: string, ...args: string[]): string => execFileSync(command, args, { cwd: project, encoding: "utf8" });

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "tidegate-package-"));
  writeFileSync(join(project, "package.json"), '{"name":"empty","private":true,"type":"module"}');
  const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", project], { cwd: web, encoding: "utf8" }).trim().split("\n").at(-1) as string;
  run("npm", "install", "--offline", "--no-audit", "--no-fund", "--omit=peer", "--silent", join(project, packed));
}, 120_000);
afterAll(() => rmSync(project, { recursive: true, force: true }));

test("it holds what was built, and nothing else", () => {
  const folder = join(project, "node_modules/@tidegate/client");
  const { exports, dependencies } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  expect(dependencies).toBeUndefined();
  for (const entry of Object.values(exports) as (string | Record<string, string>)[])
    for (const file of typeof entry === "string" ? [entry] : Object.values(entry)) expect(readFileSync(join(folder, file)).length).toBeGreaterThan(0);
  expect(() => readFileSync(join(folder, "src/client/index.ts"))).toThrow();
});

test("it can be imported and used", () => {
  writeFileSync(join(project, "use.js"), 'import { LLMStreamClient, STREAM_CONFIG } from "@tidegate/client"; import { wholeUntil } from "@tidegate/client/text"; import { safeUrl } from "@tidegate/client/markdown"; console.log(typeof new LLMStreamClient().generate, STREAM_CONFIG.timeout, wholeUntil("ab"), safeUrl("javascript:x"));');
  expect(run("node", "use.js").trim()).toBe("function 30000 2 undefined");
});

test("its types say what is right, and refuse what is wrong", () => {
  mkdirSync(join(project, "node_modules/@types"), { recursive: true });
  for (const name of ["react"]) symlinkSync(join(web, `node_modules/@types/${name}`), join(project, `node_modules/@types/${name}`));
  symlinkSync(join(web, "node_modules/csstype"), join(project, "node_modules/csstype"));
  const code = `import { LLMStreamClient, type StreamEnd, type StreamEvent } from "@tidegate/client";
import { MarkdownStream } from "@tidegate/client/markdown";
import { PacedText } from "@tidegate/client/text";
import { useStream } from "@tidegate/client/react";
const client = new LLMStreamClient({ timeout: 1000, signal: undefined });
export async function run(at: HTMLElement): Promise<StreamEnd> {
  const stream = client.stream({ messages: [] });
  const paced = new PacedText((text: string) => new MarkdownStream(at).write(text), { smooth: "auto" });
  for await (const event of stream satisfies AsyncIterable<StreamEvent>) if (event.type === "text") paced.push(event.text);
  return (await stream.result).end;
}
export const start: ReturnType<typeof useStream>["start"] | undefined = undefined;
// @ts-expect-error -- milliseconds are a number
new LLMStreamClient({ timeout: "1 s" });
// @ts-expect-error -- an event of text has no reason
export const reason = (event: StreamEvent & { type: "text" }) => event.reason;
`;
  writeFileSync(join(project, "use.ts"), code);
  const flags = ["--noEmit", "--strict", "--target", "ES2022", "--module", "ESNext", "--moduleResolution", "Bundler", "--lib", "ES2023,DOM,DOM.Iterable", "--types", "react"];
  const tsc = join(web, "node_modules/typescript/bin/tsc");
  try {
    expect(run("node", tsc, ...flags, "use.ts")).toBe("");
  } catch (error) {
    throw new Error((error as { stdout?: string }).stdout ?? String(error));
  }
}, 60_000);
