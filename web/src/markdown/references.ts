/**
 * Link reference definitions. A definition may come after its use, and may be half-written: whoever has looked a label
 * up is told when what is known about it changes.
 */
import { label as labelAt, destination, title as titleAt, skipSpace } from "./links.ts";

export interface Reference {
  href: string;
  title: string;
}

/** Something that looked labels up and has to be shown again when they change. */
export interface User {
  stale: boolean;
}

export class References {
  readonly #known = new Map<string, Reference>();
  readonly #users = new Map<string, Set<User>>();
  /** Those whose labels have changed since they were shown. */
  readonly stale = new Set<User>();
  #speculative: string[] | undefined;

  /** The definition of a normalized label; `user` is told when it changes. */
  get(label: string, user: User): Reference | undefined {
    let users = this.#users.get(label);
    if (!users) this.#users.set(label, (users = new Set()));
    users.add(user);
    return this.#known.get(label);
  }

  speculate(): void {
    this.#speculative ??= [];
  }

  undo(): void {
    for (const label of this.#speculative ?? []) {
      this.#known.delete(label);
      this.#changed(label);
    }
    this.#speculative = undefined;
  }

  /** A paragraph's text without the definitions at its start, which are taken note of. */
  strip(text: string): string {
    while (text.startsWith("[")) {
      const length = this.#define(text);
      if (!length) break;
      text = text.slice(length).trimStart();
    }
    return text.trim() ? text : "";
  }

  #define(text: string): number {
    const end = labelAt(text, 0);
    if (end < 0 || text[end] !== ":") return 0;
    const name = normalize(text.slice(1, end - 1));
    if (!name) return 0;
    const to = destination(text, skipSpace(text, end + 1));
    if (!to) return 0;
    let after = lineEnd(text, to.end);
    let caption = "";
    const gap = skipSpace(text, to.end);
    const quoted = gap > to.end ? titleAt(text, gap) : undefined;
    if (quoted) {
      const end2 = lineEnd(text, quoted.end);
      if (end2 >= 0) [after, caption] = [end2, quoted.text];
    }
    if (after < 0) return 0;
    this.#set(name, { href: to.text, title: caption });
    return after;
  }

  #set(label: string, reference: Reference): void {
    if (this.#known.has(label)) return; // the first one counts
    this.#known.set(label, reference);
    this.#speculative?.push(label);
    this.#changed(label);
  }

  #changed(label: string): void {
    for (const user of this.#users.get(label) ?? []) {
      user.stale = true;
      this.stale.add(user);
    }
  }
}

/** Labels match without regard to case and runs of white space. */
export const normalize = (label: string): string => label.trim().replace(/\s+/g, " ").toLowerCase().toUpperCase();

/** Behind the end of the line, if only white space is left on it; -1 otherwise. */
function lineEnd(text: string, at: number): number {
  while (text[at] === " " || text[at] === "\t") at++;
  if (at >= text.length) return at;
  return text[at] === "\n" ? at + 1 : -1;
}
