/** Parts of a link: label, destination, title. Scanned by hand: each in one pass, however long the text. */
import { decodeEntities } from "./entities.ts";

export interface Part {
  text: string;
  /** Behind its last character. */
  end: number;
}

const MAX_LABEL = 999;
const MAX_PARENS = 32;

/** Text with its backslash escapes and entities resolved. */
export const unescape = (text: string): string =>
  text.includes("\\") || text.includes("&")
    ? text
        .split(/(\\[!-/:-@[-`{-~])/)
        .map((part, at) => (at % 2 ? part.slice(1) : decodeEntities(part)))
        .join("")
    : text;

/** Behind the `]` of the label that begins at `at`; -1 when there is none. */
export function label(text: string, at: number): number {
  if (text[at] !== "[") return -1;
  const limit = Math.min(text.length, at + MAX_LABEL + 2);
  for (let end = at + 1; end < limit; end++) {
    const code = text.charCodeAt(end);
    if (code === 92) end++;
    else if (code === 91) return -1;
    else if (code === 93) return end + 1;
  }
  return -1;
}

/** Behind spaces, tabs and at most one line end. */
export function skipSpace(text: string, at: number): number {
  let lines = 0;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 10) {
      if (lines++) break;
    } else if (code !== 32 && code !== 9) break;
  }
  return at;
}

export function destination(text: string, at: number): Part | undefined {
  if (text[at] === "<") return bracketed(text, at + 1);
  let depth = 0;
  let end = at;
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code === 92 && /[!-/:-@[-`{-~]/.test(text[end + 1] ?? "")) end++;
    else if (code === 40 && ++depth > MAX_PARENS) return undefined;
    else if (code === 41 && --depth < 0) break;
    else if (code <= 32 || code === 127) break;
  }
  if (depth > 0 || (end === at && text[at] !== ")")) return undefined;
  return { text: unescape(text.slice(at, end)), end };
}

function bracketed(text: string, at: number): Part | undefined {
  for (let end = at; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code === 92) end++;
    else if (code === 62) return { text: unescape(text.slice(at, end)), end: end + 1 };
    else if (code === 60 || code === 10) return undefined;
  }
  return undefined;
}

export function title(text: string, at: number): Part | undefined {
  const open = text[at];
  const close = open === "(" ? ")" : open;
  if (open !== '"' && open !== "'" && open !== "(") return undefined;
  let blank = false;
  for (let end = at + 1; end < text.length; end++) {
    const char = text[end] as string;
    if (char === "\\") end++;
    else if (char === close) return { text: unescape(text.slice(at + 1, end)), end: end + 1 };
    else if (char === "(" && open === "(") return undefined;
    else if (char === "\n") {
      if (blank) return undefined;
      blank = true;
      continue;
    }
    if (char !== " " && char !== "\t") blank = false;
  }
  return undefined;
}
