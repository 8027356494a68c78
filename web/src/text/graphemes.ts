/**
 * Whole grapheme clusters of a text that arrives in pieces: a family emoji, a flag or a Devanagari syllable that is cut
 * between two pieces is held until its rest is there.
 *
 * Only the last cluster is held, and only while it could still grow. Looking back 16 UTF-16 units was enough for
 * 20,000 random cuts of the longest clusters in use; 64 are looked at, moved back past a run of regional indicators,
 * which pair from its start.
 */

const TAIL = 64;
/** Longest run of regional indicators that is followed back; each is two units. */
const MAX_RUN = 256;

let segmenter: Intl.Segmenter | undefined;

/** Make the segmenter now: its first construction takes tens of milliseconds, better spent while nothing streams. */
export function warm(): void {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: "grapheme" });
}

const isIndicator = (text: string, at: number): boolean => {
  const code = text.codePointAt(at) ?? 0;
  return code >= 0x1f1e6 && code <= 0x1f1ff;
};

/**
 * Below U+0300 only what emoji are made of can grow: digits, `#` and `*` to keycaps, © and ® with a selector. A letter
 * with a combining mark behind it comes composed from every model; holding each letter would delay all text.
 */
const mayGrow = (unit: number): boolean =>
  unit >= 0x300 || (unit >= 48 && unit <= 57) || unit === 35 || unit === 42 || unit === 0xa9 || unit === 0xae;

/** Where the last cluster begins, if it could still grow; otherwise the length of `text`. */
export function wholeUntil(text: string): number {
  const last = text.charCodeAt(text.length - 1);
  if (!text || !mayGrow(last)) return text.length;
  // Half a surrogate pair belongs to the cluster before it, or does not; nobody knows yet.
  if ((last & 0xfc00) === 0xd800) {
    const before = text.slice(0, -1);
    return mayGrow(before.charCodeAt(before.length - 1)) ? wholeUntil(before) : before.length;
  }
  let start = Math.max(0, text.length - TAIL);
  for (let run = 0; run < MAX_RUN && start >= 2 && isIndicator(text, start - 2); run += 2) start -= 2;
  // Not in the middle of a surrogate pair.
  if (start && (text.charCodeAt(start) & 0xfc00) === 0xdc00) start--;
  warm();
  const tail = text.slice(start);
  return start + (segmenter as Intl.Segmenter).segment(tail).containing(tail.length - 1)!.index;
}
