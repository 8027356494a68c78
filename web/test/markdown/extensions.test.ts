import { expect, test } from "vitest";
import { html, inlineHtml, tidy } from "./html.ts";

/** Everyday Markdown, as models write it and GitHub shows it. */
const CASES: [string, string][] = [
  ["| a | b |\n|---|:-:|\n| 1 | 2 |", "<table><thead><tr><th>a</th><th align=\"center\">b</th></tr></thead><tbody><tr><td>1</td><td align=\"center\">2</td></tr></tbody></table>"],
  ["a | b\n-|-\n1 | 2", "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table>"],
  ["|a|\n|-|\n|x\\|y `c\\|d`|", "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>x|y <code>c|d</code></td></tr></tbody></table>"],
  ["|a|b|\n|-|-|\n|1|\n|1|2|3|", "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td></td></tr><tr><td>1</td><td>2</td></tr></tbody></table>"],
  ["|a|b|\n|-|\n", "<p>|a|b|\n|-|</p>"],
  ["text\n|a|\n|-|\n|1|\n\nafter", "<p>text</p><table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table><p>after</p>"],
  ["|a|\n|-|\n> q", "<table><thead><tr><th>a</th></tr></thead></table><blockquote><p>q</p></blockquote>"],
  ["~~gone~~ and ~so~ but ~~~not~~~ nor ~~this~", "<p><del>gone</del> and <del>so</del> but ~~~not~~~ nor ~~this~</p>"],
  ["see https://a.example/x_y_z?q=(1)). and www.b.example, done", "<p>see <a href=\"https://a.example/x_y_z?q=(1)\">https://a.example/x_y_z?q=(1)</a>). and <a href=\"http://www.b.example\">www.b.example</a>, done</p>"],
  ["mail me.now+x@mail.example.org. Or not@here", "<p>mail <a href=\"mailto:me.now+x@mail.example.org\">me.now+x@mail.example.org</a>. Or not@here</p>"],
  ["foo_bar_baz 2*3*4", "<p>foo_bar_baz 2<em>3</em>4</p>"],
  ["***a** b*", "<p><em><strong>a</strong> b</em></p>"],
  ["one<br>two", "<p>one<br />two</p>"],
  ["- [ ] open\n- [x] done", "<ul><li>[ ] open</li><li>[x] done</li></ul>"],
  ["**中文**文字 **“引”**字", "<p><strong>中文</strong>文字 **“引”**字</p>"],
  ["1. a\n   ```\n   c\n   ```\n\n   b\n2. d", "<ol><li><p>a</p><pre><code>c\n</code></pre><p>b</p></li><li><p>d</p></li></ol>"],
];

test.each(CASES)("%j", (markdown, want) => {
  expect(tidy(html(markdown))).toBe(want);
});

test("only addresses with a known scheme can be followed", () => {
  for (const url of [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java&#x73;cript:alert(1)",
    "javascript&colon;alert(1)",
    "&#1;javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:http://x",
    "java\u200bscript:alert(1)",
    "\u00adjavascript:alert(1)",
  ]) {
    const made = inlineHtml(`[x](<${url}>) ![y](<${url}>)`);
    for (const [, href = ""] of made.matchAll(/(?:href|src)="([^"]*)"/g)) expect(href.replace(/%[0-9a-f]{2}/gi, "")).not.toMatch(/^\s*(?:java|data|vb|file|blob)[^/]*:/i);
  }
  expect(inlineHtml("[x](/a/b?c#d) [y](//host/) [z](mailto:a@b.c)")).toBe('<a href="/a/b?c#d">x</a> <a href="//host/">y</a> <a href="mailto:a@b.c">z</a>');
});
