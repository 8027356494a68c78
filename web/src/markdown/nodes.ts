/** Inline nodes, and the list that they stand in while their paragraph is parsed. */

/** `d` is how deep the node nests: 0 has no children. */
export type Inline =
  | { t: "text"; s: string; d: number }
  | { t: "code"; s: string; d: number }
  | { t: "em" | "strong" | "del"; c: Inline[]; d: number }
  | { t: "a"; href: string; title: string; c: Inline[]; d: number }
  | { t: "img"; src: string; title: string; alt: string; d: number }
  | { t: "br"; d: number }
  | { t: "task"; checked: boolean; d: number };

export interface Item {
  node: Inline;
  last: Item | undefined;
  next: Item | undefined;
}

export const makeText = (s: string): Inline & { t: "text" } => ({ t: "text", s, d: 0 });

/** The nodes from `from` up to, and without, `to`; neighbouring texts as one. */
export function collect(from: Item | undefined, to: Item | undefined): Inline[] {
  const nodes: Inline[] = [];
  let texts: string[] = [];
  const flush = (): void => {
    if (texts.length) nodes.push(makeText(texts.join("")));
    texts = [];
  };
  for (let item = from; item && item !== to; item = item.next) {
    if (item.node.t === "text") {
      if (item.node.s) texts.push(item.node.s);
      continue;
    }
    flush();
    nodes.push(item.node);
  }
  flush();
  return nodes;
}
