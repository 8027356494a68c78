/** Tables on the terminal, and under `bench/results/DATE` beside the others' where that is asked for. */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";

export const row = (cells) => `| ${cells.join(" | ")} |`;
export const table = (head, rows) => [row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n");

export const median = (values) => quantile(values, 0.5);
export const quantile = (values, share) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];

/** `NAME.md` and `NAME.json`; the Markdown says on what machine. Returns the folder. */
export function save(name, title, markdown, figures) {
  const date = new Date().toISOString().slice(0, 10);
  const folder = fileURLToPath(new URL(`../../bench/results/${date}/`, import.meta.url));
  const machine = { cores: cpus().length, processor: cpus()[0]?.model ?? "", node: process.versions.node };
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}${name}.md`, `# ${title}\n\n${date}, ${machine.cores} cores (${machine.processor}), headless Chromium.\n\n${markdown}\n`);
  writeFileSync(`${folder}${name}.json`, `${JSON.stringify({ machine, ...figures }, null, 1)}\n`);
  console.log(`\nsaved: bench/results/${date}/${name}.md`);
}
