/** The examples of the CommonMark specification. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

export interface Example {
  number: number;
  section: string;
  markdown: string;
  html: string;
}

export function examples(): Example[] {
  const require = createRequire(import.meta.url);
  const spec = readFileSync(require.resolve("commonmark-spec/spec.txt"), "utf8").replaceAll("\r\n", "\n");
  const found: Example[] = [];
  const pattern = /^`{32} example\n([\s\S]*?)^\.\n([\s\S]*?)^`{32}$|^#{1,6} *(.*)$/gm;
  let section = "";
  for (const [, markdown, html, title] of spec.matchAll(pattern)) {
    if (title !== undefined) section = title;
    else
      found.push({
        number: found.length + 1,
        section,
        markdown: (markdown as string).replaceAll("→", "\t"),
        html: (html as string).replaceAll("→", "\t"),
      });
  }
  return found;
}
