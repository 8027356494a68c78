import { expect, test } from "vitest";
import { tokens } from "../../src/markdown/highlight.ts";
import { isLinear } from "./cpu.ts";

const named = (text: string, language: string): string[] => [...tokens(text, language)].map(({ name, from, to }) => `${name} ${text.slice(from, to)}`);

test("keywords, strings, numbers and comments are found, and what only looks like them is not", () => {
  expect(named('def f(x): return "if" + 12 # for', "python")).toEqual(["keyword def", "keyword return", 'string "if"', "number 12", "comment # for"]);
  expect(named("const a = `x`; // let\n/* while */ returns", "ts")).toEqual(["keyword const", "string `x`", "comment // let", "comment /* while */"]);
  expect(named("#include <x>\nint a = b--;", "c")).toEqual(["keyword int"]);
  expect(named("select 1 -- all", "sql")).toEqual(["keyword select", "number 1", "comment -- all"]);
});

test("an unclosed string or comment costs what its length costs", () => {
  const all = (text: string): unknown => [...tokens(text, "python")].length;
  const kinds = [(n: number) => '"'.repeat(n), (n: number) => "/*".repeat(n / 2), (n: number) => `"${"\\".repeat(n)}`];
  kinds.push((n) => "`".repeat(n - 1), (n) => "#".repeat(n));
  for (const make of kinds) expect(isLinear(all, make(10_000), make(50_000))).toBe("linear");
});
