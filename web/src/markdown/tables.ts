/** Rows of GitHub's tables. */

/** Whether a line is the row of dashes below a table's header. */
export function isDelimiterRow(line: string): boolean {
  if (!/^[|:-]/.test(line) || /[^|: \t-]/.test(line)) return false;
  const cells = splitRow(line);
  return cells.length > 0 && cells.every((cell) => /^:?-+:?$/.test(cell)) && (cells.length > 1 || /[|:]/.test(line));
}

/** The cells of a row, white space around them dropped. `\|` is a pipe in a cell, in code too. */
export function splitRow(line: string): string[] {
  const text = line.trim();
  const cells: string[] = [];
  let start = text[0] === "|" ? 1 : 0;
  let escaped = false;
  for (let at = start; at < text.length; at++) {
    if (text[at] === "\\" && text[at + 1] === "|") {
      escaped = true;
      at++;
    } else if (text[at] === "|") {
      cells.push(cell(text.slice(start, at), escaped));
      start = at + 1;
      escaped = false;
    }
  }
  if (start < text.length) cells.push(cell(text.slice(start), escaped));
  return cells;
}

function cell(text: string, escaped: boolean): string {
  return (escaped ? text.replaceAll("\\|", "|") : text).trim();
}
