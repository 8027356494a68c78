import { expect, test } from "vitest";
import { tokens } from "../../src/markdown/highlight.ts";

const named = (text: string, language: string): string[] => [...tokens(text, language)].map(({ name, from, to }) => `${name} ${text.slice(from, to)}`);

test("keywords, strings, numbers and comments are found, and what only looks like them is not", () => {
  expect(named('def f(x): return "if" + 12 # for', "python")).toEqual(["keyword def", "keyword return", 'string "if"', "number 12", "comment # for"]);
  expect(named("const a = `x`; // let\n/* while */ returns", "ts")).toEqual(["keyword const", "string `x`", "comment // let", "comment /* while */"]);
  expect(named("#include <x>\nint a = b--;", "c")).toEqual(["keyword int"]);
  expect(named("select 1 -- all", "sql")).toEqual(["keyword select", "number 1", "comment -- all"]);
});

test("an unclosed string or comment costs what its length costs", () => {
  for (const text of ['"'.repeat(50_000), "/*".repeat(25_000), `"${"\\".repeat(50_000)}`, "`".repeat(49_999), "#".repeat(50_000)]) {
    const began = process.cpuUsage();
    for (const _ of tokens(text, "python"));
    expect(process.cpuUsage(began).user / 1000).toBeLessThan(500);
  }
});
