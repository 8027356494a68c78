/** A reading as the HTML that CommonMark's examples are written in, without any page. */
import { Blocks, type Block } from "../../src/markdown/blocks.ts";
import { Inlines, type Inline } from "../../src/markdown/inlines.ts";
import { unescape } from "../../src/markdown/links.ts";
import { References } from "../../src/markdown/references.ts";
import { splitRow } from "../../src/markdown/tables.ts";

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

export function read(markdown: string): { root: Block; references: References } {
  const references = new References();
  const blocks = new Blocks(references);
  const lines = markdown.split(/\r\n|\n|\r/);
  if (lines.at(-1) === "") lines.pop();
  for (const line of lines) blocks.line(line);
  blocks.finish();
  return { root: blocks.root, references };
}

let bare = true;

export function html(markdown: string, options: { bareLinks?: boolean } = {}): string {
  bare = options.bareLinks ?? true;
  const { root, references } = read(markdown);
  return root.children.map((child) => block(child, references, false)).join("");
}

export const inlineHtml = (text: string, references = new References()): string =>
  new Inlines(text, references, { stale: false }, bare).parse().map(inline).join("");

function block(at: Block, references: References, tight: boolean): string {
  const kids = (): string => at.children.map((child) => block(child, references, tight)).join("");
  switch (at.kind) {
    case "paragraph": {
      const text = inlineHtml(at.text.trim(), references);
      return tight ? `${text}\n` : `<p>${text}</p>\n`;
    }
    case "heading":
      return `<h${at.level}>${inlineHtml(at.text.trim(), references)}</h${at.level}>\n`;
    case "quote":
      return `<blockquote>\n${at.children.map((child) => block(child, references, false)).join("")}</blockquote>\n`;
    case "list": {
      const tag = at.ordered ? "ol" : "ul";
      const start = at.ordered && at.first !== 1 ? ` start="${at.first}"` : "";
      const items = at.children.map((child) => block(child, references, !at.loose)).join("");
      return `<${tag}${start}>\n${items}</${tag}>\n`;
    }
    case "item":
      return `<li>${kids()}</li>\n`;
    case "code": {
      const [language] = unescape(at.info).split(/\s/, 1);
      const lines = at.lines.slice(0, at.solid).map((line) => `${escape(line)}\n`);
      return `<pre><code${language ? ` class="language-${escape(language)}"` : ""}>${lines.join("")}</code></pre>\n`;
    }
    case "rule":
      return "<hr />\n";
    case "table": {
      const rows = at.children.map((row, place) => {
        const cells = splitRow(row.text);
        return `<tr>${at.align.map((side, n) => cell(cells[n] ?? "", side, place ? "td" : "th", references)).join("")}</tr>`;
      });
      const body = rows.length > 1 ? `<tbody>${rows.slice(1).join("")}</tbody>` : "";
      return `<table><thead>${rows[0]}</thead>${body}</table>\n`;
    }
    default:
      return kids();
  }
}

const cell = (text: string, side: string, tag: string, references: References): string =>
  `<${tag}${side && ` align="${side}"`}>${inlineHtml(text, references)}</${tag}>`;

function inline(at: Inline): string {
  const kids = (): string => ("c" in at ? at.c.map(inline).join("") : "");
  const titled = (title: string): string => (title ? ` title="${escape(title)}"` : "");
  switch (at.t) {
    case "text":
      return escape(at.s);
    case "code":
      return `<code>${escape(at.s)}</code>`;
    case "br":
      return "<br />";
    case "img":
      return `<img src="${escape(at.src)}" alt="${escape(at.alt)}"${titled(at.title)} />`;
    case "a":
      return `<a href="${escape(at.href)}"${titled(at.title)}>${kids()}</a>`;
    case "task":
      return `<input type="checkbox"${at.checked ? " checked" : ""} />`;
    default:
      return `<${at.t}>${kids()}</${at.t}>`;
  }
}

/** White space that no reader sees: around blocks, and after a hard break. */
export const tidy = (text: string): string =>
  text
    .replace(/<br \/>\n/g, "<br />")
    .replace(/\s*(<\/?(?:p|ul|ol|li|blockquote|h[1-6]|hr|table|thead|tbody|tr|th|td|div)(?:\s[^>]*)?\/?>)\s*/g, "$1")
    .trim();
