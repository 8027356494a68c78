/**
 * Which tool call of a choice a fragment belongs to.
 *
 * The official SDKs trust `index` alone. Real servers leave it out (Mistral sends whole calls), or send 0 for every one
 * of several whole calls, so identity is `id` where there is one. A new id alone is not a new call, because some
 * servers make up an id for every fragment: a new call also has a name.
 */
export class ToolCallIndex {
  readonly #idOf = new Map<number, string>();
  readonly #indexOf = new Map<string, number>();
  // The index that a server sent -> the one that the call sent under it last has got.
  readonly #alias = new Map<number, number>();
  #last = -1;
  #top = -1;

  /** The index, the same for each fragment of one call. Must see every fragment, in order. */
  index(given: number | undefined, id: string, named: boolean): number {
    const index = this.#find(given, id, named);
    if (id && !this.#idOf.has(index)) {
      this.#idOf.set(index, id);
      this.#indexOf.set(id, index);
    }
    this.#last = index;
    this.#top = Math.max(this.#top, index);
    return index;
  }

  #find(given: number | undefined, id: string, named: boolean): number {
    if (given !== undefined) {
      const index = this.#alias.get(given) ?? given;
      if (!named || !id || (this.#idOf.get(index) ?? id) === id) return index;
      const own = this.#indexOf.get(id) ?? this.#top + 1;
      this.#alias.set(given, own);
      return own;
    }
    const known = id ? this.#indexOf.get(id) : undefined;
    if (known !== undefined) return known;
    return named || this.#last < 0 ? this.#top + 1 : this.#last;
  }
}
