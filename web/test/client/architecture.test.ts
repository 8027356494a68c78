/** The rules of the house, in the browser's part of it. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const SRC = fileURLToPath(new URL("../../src/", import.meta.url));
const files = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.tsx?$/.test(name))
  .map((name) => ({ name, text: readFileSync(SRC + name, "utf8") }));

/** Which rooms a room may import from, besides itself. */
const ROOMS: Record<string, string[]> = {
  client: [],
  text: [],
  markdown: [],
  react: ["client", "markdown", "react"],
  page: ["client", "text", "markdown", "preact", "preact/hooks"],
};

const importsOf = (text: string): string[] => [...text.matchAll(/^(?:import|export)\s[^"]*?from "([^"]+)"/gm)].map(([, from]) => from as string);

function offences(name: string, text: string): string[] {
  const room = name.split("/")[0] as string;
  return importsOf(text).filter((from) => {
    if (from.startsWith("./")) return false;
    return !ROOMS[room]!.includes(from.startsWith("../") ? (from.split("/")[1] as string) : from);
  });
}

test("rooms import only what they may; the library depends on nothing", () => {
  for (const { name, text } of files) expect(offences(name, text), name).toEqual([]);
});

test("a planted import is refused, and the nearest that must work is not", () => {
  expect(offences("client/x.ts", 'import { a } from "../markdown/index.ts";\n')).toHaveLength(1);
  expect(offences("markdown/x.ts", 'import a from "marked";\n')).toHaveLength(1);
  expect(offences("page/x.ts", 'import { a } from "../markdown/index.ts";\nimport { h } from "preact";\n')).toEqual([]);
});

test("nothing makes markup or script of a string", () => {
  for (const { name, text } of files) expect(text, name).not.toMatch(/\.(?:inner|outer)HTML\s*=|insertAdjacentHTML|document\.write|\beval\(|new Function|dangerouslySet/);
});

test("every file says what it is, and none is long", () => {
  for (const { name, text } of files) {
    expect(text.startsWith("/**"), name).toBe(true);
    expect(text.split("\n").length, name).toBeLessThanOrEqual(500);
  }
});
