/** Delimiter runs, and how they pair: CommonMark's "process emphasis", which can go on where it left off. */
import { collect, type Inline, type Item } from "./nodes.ts";

export interface Delimiter {
  item: Item;
  code: number;
  /** Characters that are left of the run. */
  count: number;
  canOpen: boolean;
  canClose: boolean;
  length?: number;
  at?: number;
  last?: Delimiter | undefined;
  next?: Delimiter | undefined;
}

const TILDE = 126;

export class Emphasis {
  readonly #maxDepth: number;
  #first: Delimiter | undefined;
  #last: Delimiter | undefined;
  #count = 0;
  // Up to here everything was paired when the text so far was read as the whole.
  #done = 0;
  /** Something nested deeper than anybody reads: from then on marks are text. */
  stuck = false;
  /** For each kind of closer: no opener for it at or before this delimiter. */
  #bottoms = new Map<number, number>();

  constructor(maxDepth: number) {
    this.#maxDepth = maxDepth;
  }

  get top(): Delimiter | undefined {
    return this.#last;
  }

  /** Whether any run could still be paired with a later one. */
  get waiting(): boolean {
    return this.#first !== undefined;
  }

  push(delimiter: Delimiter): void {
    delimiter.length = delimiter.count;
    delimiter.at = ++this.#count;
    delimiter.last = this.#last;
    if (this.#last) this.#last.next = delimiter;
    else this.#first = delimiter;
    this.#last = delimiter;
  }

  /**
   * Pair the runs after `bottom`, and forget them.
   * @param keep openers are kept for what follows; only right with no bracket open.
   */
  pair(bottom?: Delimiter, keep = false): void {
    const floor = bottom?.at ?? 0;
    const bottoms = bottom ? new Map<number, number>() : this.#bottoms;
    let closer = bottom ? bottom.next : this.#first;
    while (closer && !bottom && (closer.at as number) <= this.#done) closer = closer.next;
    while (closer && !this.stuck) {
      if (!closer.canClose) {
        closer = closer.next;
        continue;
      }
      const kind = kindOf(closer);
      const opener = this.#opener(closer, Math.max(floor, bottoms.get(kind) ?? 0));
      if (opener) {
        closer = this.#wrap(opener, closer);
        continue;
      }
      bottoms.set(kind, (closer.last?.at ?? floor));
      const next: Delimiter | undefined = closer.next;
      if (!closer.canOpen) this.#remove(closer);
      closer = next;
    }
    if (!bottom) this.#done = this.#count;
    if (!keep) while (this.#last && (this.#last.at as number) > floor) this.#remove(this.#last);
  }

  #opener(closer: Delimiter, floor: number): Delimiter | undefined {
    for (let at = closer.last; at && (at.at as number) > floor; at = at.last) {
      if (at.code === closer.code && at.canOpen && fits(at, closer)) return at;
    }
    return undefined;
  }

  /** Put what is between the two into an element. The next closer to look at. */
  #wrap(opener: Delimiter, closer: Delimiter): Delimiter | undefined {
    const double = opener.count >= 2 && closer.count >= 2;
    const used = closer.code === TILDE ? closer.count : double ? 2 : 1;
    while (closer.last !== opener) this.#remove(closer.last as Delimiter);
    const kids = collect(opener.item.next, closer.item);
    const depth = kids.reduce((most, kid) => Math.max(most, kid.d), 0) + 1;
    if (depth > this.#maxDepth) {
      this.stuck = true;
      return undefined;
    }
    shorten(opener, used);
    shorten(closer, used);
    const t = closer.code === TILDE ? "del" : double ? "strong" : "em";
    const node: Inline = { t, c: kids, d: depth };
    const item: Item = { node, last: opener.item, next: closer.item };
    opener.item.next = item;
    closer.item.last = item;
    if (!opener.count) this.#remove(opener);
    if (closer.count) return closer;
    const next = closer.next;
    this.#remove(closer);
    return next;
  }

  #remove(at: Delimiter): void {
    if (at.last) at.last.next = at.next;
    else this.#first = at.next;
    if (at.next) at.next.last = at.last;
    else this.#last = at.last;
  }
}

/** Closers of one kind find, or do not find, the same openers. */
function kindOf(closer: Delimiter): number {
  if (closer.code === TILDE) return TILDE * 8 + (closer.length as number);
  return closer.code * 8 + (closer.canOpen ? 3 : 0) + ((closer.length as number) % 3);
}

/** "Rule of three"; strikethrough needs runs of the same length. */
function fits(opener: Delimiter, closer: Delimiter): boolean {
  const [a, b] = [opener.length as number, closer.length as number];
  if (closer.code === TILDE) return a === b;
  return !((closer.canOpen || opener.canClose) && b % 3 !== 0 && (a + b) % 3 === 0);
}

function shorten(delimiter: Delimiter, used: number): void {
  delimiter.count -= used;
  const { node } = delimiter.item;
  if (node.t === "text") node.s = node.s.slice(used);
}
