/** One block of a document. All blocks have the same fields, so that a snapshot is a plain copy. */

export type Kind =
  | "document"
  | "quote"
  | "list"
  | "item"
  | "paragraph"
  | "heading"
  | "code"
  | "rule"
  | "table"
  | "row";

export interface Block {
  kind: Kind;
  readonly parent: Block | null;
  readonly children: Block[];
  /** Lines can still be added. */
  open: boolean;
  /** Closed by a whole line: only a late reference definition can change what it shows. */
  done: boolean;
  start: number;
  end: number;
  /** Of a paragraph, heading or row. */
  text: string;
  /** Of code; `solid` of them count, the blank ones at the end of an indented block do not. */
  readonly lines: string[];
  solid: number;
  /** Of a heading. */
  level: number;
  /** `` ` `` or `~` of a fence, `""` of an indented block; its length; columns before it. */
  fence: string;
  width: number;
  /** Columns before a fence or a list marker. */
  offset: number;
  info: string;
  /** Of a list or item: the bullet, or the delimiter after the number. */
  marker: string;
  ordered: boolean;
  first: number;
  /** Columns from the marker to the item's content. */
  padding: number;
  /** Of a list: a blank line between items or in one. */
  loose: boolean;
  align: string[];
  depth: number;
}

/** A new block, open. */
export function block(kind: Kind, parent: Block | null, line: number): Block {
  const depth = parent ? parent.depth + (kind === "item" ? 0 : 1) : 0;
  return {
    kind,
    parent,
    children: [],
    open: true,
    done: false,
    start: line,
    end: line,
    text: "",
    lines: [],
    solid: 0,
    level: 0,
    fence: "",
    width: 0,
    offset: 0,
    info: "",
    marker: "",
    ordered: false,
    first: 1,
    padding: 0,
    loose: false,
    align: [],
    depth,
  };
}

export const isBlank = (code: number): boolean => code === 32 || code === 9;

/** The last child, if lines can still be added to it. */
export function openChild(at: Block): Block | undefined {
  const last = at.children.at(-1);
  return last?.open ? last : undefined;
}

/** A heading's text without the closing `#`s. Scanned from the end: a regular expression would be quadratic. */
export function trimClosing(text: string): string {
  text = text.trimEnd();
  let end = text.length;
  while (end && text[end - 1] === "#") end--;
  if (end === text.length || (end && !isBlank(text.charCodeAt(end - 1)))) return text.trim();
  return text.slice(0, end).trim();
}
