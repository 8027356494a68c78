import { expect, test } from "vitest";
import { isLinear } from "./cpu.ts";
import { html } from "./html.ts";

const N = 10_000;
const NASTY: Record<string, (n: number) => string> = {
  backslashes: (n) => "\\".repeat(n),
  brackets: (n) => "[".repeat(n),
  "bracket pairs": (n) => "[]".repeat(n / 2),
  "nested links": (n) => "[a](".repeat(n / 4),
  "nested pictures": (n) => "![".repeat(n / 3) + "](a)".repeat(n / 5),
  backticks: (n) => "`".repeat(n),
  "backtick runs": (n) => {
    let text = "";
    for (let at = 1; text.length < n; at++) text += `${"`".repeat(at)}x`;
    return text;
  },
  asterisks: (n) => "*".repeat(n),
  "openers": (n) => "*a **a ".repeat(n / 7),
  "closers": (n) => "a** a* ".repeat(n / 7),
  "nested emphasis": (n) => "*a ".repeat(n / 6) + " a*".repeat(n / 6),
  "mixed emphasis": (n) => "*_".repeat(n / 4) + "_*".repeat(n / 4),
  "underscores": (n) => "a__b_c_".repeat(n / 7),
  tildes: (n) => "~a ~~b ".repeat(n / 7),
  quotes: (n) => ">".repeat(n),
  "nested quotes over lines": (n) => `${">".repeat(100)}\n`.repeat(n / 100),
  "nested lists": (n) => Array.from({ length: 200 }, (_, at) => `${"  ".repeat(at)}- a\n`).join("").slice(0, n * 3),
  "list markers": (n) => "- ".repeat(n / 2),
  "unclosed tags": (n) => "<a ".repeat(n / 3),
  "unclosed attributes": (n) => '<a x="'.repeat(n / 6),
  "attributes": (n) => `<a ${"x ".repeat(n / 2)}`,
  "unclosed comments": (n) => "<!-- ".repeat(n / 5),
  "unclosed instructions": (n) => "<?x".repeat(n / 3),
  entities: (n) => "&".repeat(n),
  "long entities": (n) => "&aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".repeat(n / 37),
  "bare links": (n) => "(www.(".repeat(n / 6),
  "bare links without end": (n) => "https://a.example/".repeat(n / 18),
  parentheses: (n) => `https://a.example/${")".repeat(n)}`,
  "e-mail signs": (n) => "@".repeat(n),
  "half e-mails": (n) => "a.b@".repeat(n / 4),
  definitions: (n) => "[a]: b\n".repeat(n / 7),
  "half definitions": (n) => "[a]: <b\n".repeat(n / 8),
  titles: (n) => `[a](b "${"x".repeat(20)}`.repeat(n / 28),
  "link titles in one": (n) => `${"[a](b '".repeat(n / 7)}`,
  hashes: (n) => `# ${"#".repeat(n)} a`,
  spaces: (n) => `a${" ".repeat(n)}b`,
  "spaces before line ends": (n) => `a${" ".repeat(50)}\n`.repeat(n / 52),
  tabs: (n) => "\t".repeat(n),
  "a table's pipes": (n) => `${"|".repeat(n)}\n${"|-".repeat(n / 2)}`,
  "a long table": (n) => `|a|b|\n|-|-|\n${"|1|2|\n".repeat(n / 6)}`,
  "rules that are none": (n) => `${"- ".repeat(n / 2)}a`,
  "setext lines": (n) => "a\n=\n".repeat(n / 4),
  "zero-width": (n) => "\u200b\u200d\ufeff\u202e".repeat(n / 4),
};

test.each(Object.entries(NASTY))("five times the text costs at most about five times the time: %s", (_, make) => {
  expect(isLinear(html, make(N), make(5 * N))).toBe("linear");
});

test("nothing nests deeper than a page can show", () => {
  const depth = (text: string): number => {
    let [deep, most] = [0, 0];
    for (const [tag] of html(text).matchAll(/<\/?[a-z][^>]*>/g)) {
      if (tag.endsWith("/>")) continue;
      deep += tag.startsWith("</") ? -1 : 1;
      most = Math.max(most, deep);
    }
    return most;
  };
  for (const make of Object.values(NASTY)) expect(depth(make(N))).toBeLessThan(200);
});
