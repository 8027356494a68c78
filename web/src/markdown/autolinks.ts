/** GitHub's extended autolinks: bare addresses in a text. */
import { makeText, type Inline } from "./nodes.ts";

/** Nothing, white space or one of these may stand before a bare address. */
const BEFORE = /[\s*_~(]/;
const URL = /[^\s<]+/y;
const DOMAIN = /^[\p{L}\p{N}_-]+(?:\.[\p{L}\p{N}_-]+)*/u;
const EMAIL = /[a-z0-9.+_-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+/gi;
const MAX_EMAIL = 254;
const MAX_DOMAIN = 254;

/** The address that begins at `at` with a scheme or `www.`, without the punctuation behind it. */
export function bareUrl(text: string, at: number): { text: string; href: string } | undefined {
  if (at && !BEFORE.test(text[at - 1] as string)) return undefined;
  const scheme = /^https?:\/\//i.exec(text.slice(at, at + 8))?.[0] ?? "";
  const host = at + scheme.length;
  // The domain first: the rest is read only where there is one, so that nothing is read twice.
  const [domain = ""] = DOMAIN.exec(text.slice(host, host + MAX_DOMAIN)) ?? [];
  if (!domain || /_[^.]*(?:\.[^.]*)?$/.test(domain) || !(scheme || /^www\../i.test(domain))) return undefined;
  URL.lastIndex = at;
  const whole = trim(URL.exec(text)?.[0] ?? "");
  return { text: whole, href: scheme ? whole : `http://${whole}` };
}

/** Without trailing punctuation, and without closing parentheses that nothing opens. */
function trim(url: string): string {
  let end = url.length;
  let open = 0;
  for (const char of url) open += char === "(" ? 1 : char === ")" ? -1 : 0;
  for (; end > 0; end--) {
    const last = url[end - 1] as string;
    if (/[?!.,:*_~'"]/.test(last)) continue;
    if (last === ")" && open < 0) {
      open++;
      continue;
    }
    if (last !== ";") break;
    const entity = /&[a-z0-9]{1,32};$/i.exec(url.slice(Math.max(0, end - 34), end));
    if (!entity) break;
    end -= entity[0].length - 1;
  }
  return url.slice(0, end);
}

/** Turn e-mail addresses in texts into links; not inside of links. */
export function linkEmails(nodes: Inline[]): Inline[] {
  if (!nodes.some((node) => (node.t === "text" && node.s.includes("@")) || ("c" in node && node.t !== "a"))) return nodes;
  return nodes.flatMap((node) => {
    if (node.t === "text") return node.s.includes("@") ? split(node.s) : [node];
    if ("c" in node && node.t !== "a") node.c = linkEmails(node.c);
    return [node];
  });
}

function split(text: string): Inline[] {
  const found: Inline[] = [];
  let from = 0;
  for (const at of indexesOf(text)) {
    if (at < from) continue;
    const start = Math.max(from, at - MAX_EMAIL);
    EMAIL.lastIndex = 0;
    const around = text.slice(start, at + MAX_EMAIL);
    let match = EMAIL.exec(around);
    while (match && match.index + match[0].length <= at - start) match = EMAIL.exec(around);
    if (!match || match.index > at - start) continue;
    const email = match[0].replace(/\.+$/, "");
    if (/[-_]$/.test(email)) continue;
    const begin = start + match.index;
    if (begin > from) found.push(makeText(text.slice(from, begin)));
    found.push({ t: "a", href: `mailto:${email}`, title: "", c: [makeText(email)], d: 1 });
    from = begin + email.length;
  }
  if (from < text.length) found.push(makeText(text.slice(from)));
  return found;
}

function* indexesOf(text: string): Generator<number> {
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) yield at;
}
