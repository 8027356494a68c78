import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Browser, Page } from "playwright-core";
import { tidy } from "../markdown/html.ts";
import { BARE, POLICY, RAW_SECTIONS } from "../markdown/policy.ts";
import { examples } from "../markdown/spec.ts";
import { ATTACKS } from "../markdown/attacks.ts";
import { PIECES, TRICKY } from "../markdown/documents.ts";
import { bundle, launch, open } from "./chromium.ts";
import type { Api } from "./markdown.page.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

declare const api: Api;
let browser: Browser;
let page: Page;
let requests: string[];
let errors: string[];

beforeAll(async () => {
  browser = await launch();
  ({ page, requests, errors } = await open(browser, await bundle("markdown.page.ts")));
});
afterAll(async () => {
  await browser?.close();
});

const ALL = examples();

test("CommonMark's examples, typed and painted character by character, under the gateway's policy", async () => {
  const wrong: object[] = [];
  let right = 0;
  for (const { number, section, markdown, html } of ALL) {
    if (RAW_SECTIONS.has(section) || number in POLICY) continue;
    const got = await page.evaluate(([text, bare]) => api.typed(text, bare), [markdown, !BARE.has(number)] as const);
    if (tidy(got) === tidy(html)) right++;
    else wrong.push({ number, markdown, want: tidy(html), got: tidy(got) });
  }
  expect(wrong).toEqual([]);
  expect(right).toBe(588 - Object.keys(POLICY).length);
});

test("at each prefix of all 652 examples the painted DOM is that of a fresh reading", async () => {
  let checked = 0;
  for (const { markdown } of ALL) {
    const result = await page.evaluate((text) => api.prefixes(text), markdown);
    expect(result.different, JSON.stringify(result.different)).toEqual([]);
    checked += result.checked;
  }
  expect(checked).toBeGreaterThan(14_000);
}, 180_000);

test("a long list is laid out in parts, and is one list, numbered on, for who hears it", async () => {
  const text = Array.from({ length: 100 }, (_, at) => `${at + 1}. item\n`).join("");
  await page.evaluate((given) => api.show(given, 7), text);
  expect(await page.evaluate(() => document.querySelector("ol")?.children.length)).toBe(32 + 3);
  expect(await page.evaluate(() => Math.max(...[...document.querySelectorAll("ol div")].map((part) => part.children.length)))).toBe(32);
  const heard = await page.locator("main").ariaSnapshot();
  expect(heard.match(/- list\b/g)).toHaveLength(1);
  expect(heard.match(/- listitem\b/g)).toHaveLength(100);
  const cdp = await page.context().newCDPSession(page);
  const { nodes } = (await cdp.send("Accessibility.getFullAXTree" as never)) as { nodes: { role: { value: string }; name?: { value: string } }[] };
  const markers = nodes.filter(({ role }) => role.value === "ListMarker").map(({ name }) => name?.value.trim());
  expect(markers).toEqual(Array.from({ length: 100 }, (_, at) => `${at + 1}.`));
  const broken = await page.evaluate(`${AXE}; axe.run("main", { runOnly: ["list", "listitem", "aria-required-children", "aria-required-parent"] }).then(({ violations }) => violations.map(({ id }) => id))`);
  expect(broken).toEqual([]);
});

test("a long table is laid out in parts, in line with one another, and is one table for who hears it", async () => {
  const rows = Array.from({ length: 250 }, (_, at) => `| ${at} | cell *${at}* | ${"some more text ".repeat(1 + (at % 3))} |\n`);
  await page.evaluate(() => {
    const looks = new CSSStyleSheet();
    looks.replaceSync("main { inline-size: 600px } main table { border-collapse: collapse } main th, main td { border: 1px solid; padding: 4px }");
    document.adoptedStyleSheets.push(looks);
  });
  await page.evaluate((given) => api.show(given, 40), `| a | b | c |\n|---|---|---|\n${rows.join("")}`);
  const found = await page.evaluate(() => {
    const lines = [...document.querySelectorAll("main tr")];
    const edges = (line: Element | undefined): number[] => [...(line?.children ?? [])].map((cell) => cell.getBoundingClientRect().left);
    const gaps = lines.slice(1).map((line, at) => line.getBoundingClientRect().top - (lines[at] as Element).getBoundingClientRect().bottom);
    const apart = lines.flatMap((line) => edges(line).map((left, at) => Math.abs(left - (edges(lines[0])[at] as number))));
    return { tables: document.querySelectorAll("main table").length, rows: lines.length, apart: Math.max(...apart), gaps: [...new Set(gaps.map((gap) => Math.round(gap * 2) / 2))], text: lines.map((line) => line.firstChild?.textContent) };
  });
  expect(found.tables).toBe(3);
  expect(found.rows).toBe(251);
  expect(found.apart).toBeLessThan(0.6);
  expect(found.gaps).toEqual([0]);
  expect(found.text).toEqual(["a", ...rows.map((_, at) => String(at))]);
  const heard = await page.locator("main").ariaSnapshot();
  expect(heard.match(/- table\b/g)).toHaveLength(1);
  expect(heard.match(/- row /g)).toHaveLength(251);
  expect(heard.match(/- columnheader/g)).toHaveLength(3);
  expect(heard.match(/- cell/g)).toHaveLength(750);
  const broken = await page.evaluate(`${AXE}; axe.run("main", { runOnly: ["wcag2a", "wcag2aa"] }).then(({ violations }) => violations.map(({ id }) => id))`);
  expect(broken).toEqual([]);
  await page.evaluate(() => document.adoptedStyleSheets.pop());
});

test("a long table that nobody can see is one", async () => {
  const rows = Array.from({ length: 250 }, (_, at) => `| ${at} |\n`);
  await page.evaluate(() => ((document.querySelector("main") as HTMLElement).hidden = true));
  await page.evaluate((given) => api.show(given, 40), `| a |\n|---|\n${rows.join("")}`);
  expect(await page.evaluate(() => [document.querySelectorAll("main table").length, document.querySelectorAll("main tr").length])).toEqual([1, 251]);
  await page.evaluate(() => ((document.querySelector("main") as HTMLElement).hidden = false));
});

test("and of tricky documents", async () => {
  for (const text of TRICKY) {
    const result = await page.evaluate((each) => api.prefixes(each), text);
    expect(result.different, JSON.stringify(result.different)).toEqual([]);
  }
});

test("and of 1,000 random documents cut at random", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const result = await page.evaluate(([each, pieces]) => api.documents(50, each, pieces), [seed, PIECES] as const);
    expect(result.different, JSON.stringify(result.different)).toEqual([]);
  }
});

test("what is settled is never removed", async () => {
  const text = TRICKY.join("\n\n").repeat(3);
  const result = await page.evaluate((each) => api.removed(each, 7), text);
  expect(result.removed).toEqual([]);
  expect(result.kept).toBe(true);
});

test.each(ATTACKS.map((attack) => [attack] as const))("nothing runs and nothing is requested: %j", async (attack) => {
  for (const step of [attack.length, 1, 3]) {
    await page.evaluate(([text, each]) => api.show(text, each), [attack, step] as const);
    const found = await page.evaluate(() => ({
      bad: [...document.querySelectorAll("main script, main iframe, main object, main embed, main svg, main style, main link, main form, main base, main meta")].length,
      handlers: [...document.querySelectorAll("main *")].flatMap((at) => at.getAttributeNames()).filter((name) => name.startsWith("on")),
      links: [...document.querySelectorAll<HTMLAnchorElement>("main a[href]")].map((at) => at.protocol),
      images: document.querySelectorAll("main img").length,
    }));
    expect(found.bad).toBe(0);
    expect(found.handlers).toEqual([]);
    for (const protocol of found.links) expect(["http:", "https:", "mailto:", "tel:", "irc:", "ircs:"]).toContain(protocol);
    expect(found.images).toBe(0);
  }
  expect(requests).toEqual([]);
  expect(errors).toEqual([]);
  expect(await page.evaluate(() => "hacked" in globalThis)).toBe(false);
});

test("a picture from elsewhere is loaded after a click, and only then", async () => {
  await page.evaluate(() => api.show("![a tide](https://pictures.example/tide.png)", 5));
  expect(requests).toEqual([]);
  expect(await page.textContent("main button")).toBe("a tide (pictures.example)");
  await page.click("main button");
  expect(await page.getAttribute("main img", "referrerpolicy")).toBe("no-referrer");
  await page.evaluate(() => api.show("", 1));
});

test("a selection in settled text survives what follows, and keeps code uncoloured", async () => {
  const selected = await page.evaluate(() => api.select("First, selected.\n\n```js\nconst a = 1;\n```\n\n- x\n\n  y\n\nend"));
  expect(selected).toBe("First, selected.|const a = 1;\n|0");
  await page.evaluate(() => getSelection()?.removeAllRanges());
  await page.evaluate(() => api.show("```js\nconst a = 1;\n```\n", 4));
  await page.waitForSelector("main .tg-keyword");
  expect(await page.textContent("main code")).toBe("const a = 1;\n");
});
