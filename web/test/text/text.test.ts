import { expect, test } from "vitest";
import { Pace, PacedText, wholeUntil, type Frames } from "../../src/text/index.ts";

/** Frames that a test turns by hand. */
class Film implements Frames {
  time = 0;
  #frames: (() => void)[] = [];
  #timers: { at: number; callback: () => void }[] = [];
  now = (): number => this.time;
  next(callback: () => void): void {
    this.#frames.push(callback);
  }
  after(ms: number, callback: () => void): void {
    this.#timers.push({ at: this.time + ms, callback });
  }
  get pending(): number {
    return this.#frames.length + this.#timers.length;
  }
  turn(ms = 16.7): void {
    this.time += ms;
    const due = this.#timers.filter(({ at }) => at <= this.time);
    this.#timers = this.#timers.filter(({ at }) => at > this.time);
    for (const { callback } of due) callback();
    for (const frame of this.#frames.splice(0)) frame();
  }
}

const CLUSTERS = [
  ..."Hello, wörld 42 #* ©",
  ...["👩🏽‍👩🏿‍👧🏼‍👦🏾", "👨‍❤️‍💋‍👨", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇩🇪", "🇳🇴", "🇯🇵", "1️⃣", "#️⃣", "👍🏽", "❤️", "☂️", "©️", "क्षि", "ন্ত্র", "ราชื่อ".slice(0, 2), "한", "中", "e", "🧑🏻‍🚀"],
];

/** The same numbers in every run. */
function random(seed: number): () => number {
  return () => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
}

test("20,000 random cuts of emoji-heavy text: no cluster is ever written in halves", () => {
  const rand = random(7);
  const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });
  for (let round = 0; round < 200; round++) {
    const text = Array.from({ length: 120 }, () => CLUSTERS[Math.floor(rand() * CLUSTERS.length)]).join("");
    const borders = new Set([...segmenter.segment(text)].map(({ index }) => index).concat(text.length));
    const film = new Film();
    let written = "";
    const paced = new PacedText((piece) => {
      written += piece;
      expect(borders.has(written.length), `after ${written.slice(-8)}`).toBe(true);
    }, {}, film);
    const cuts = Array.from({ length: 100 }, () => Math.floor(rand() * text.length)).sort((a, b) => a - b);
    for (const [at, cut] of [...cuts, text.length].entries()) {
      paced.push(text.slice(at ? cuts[at - 1] : 0, cut));
      film.turn(5);
    }
    paced.end();
    film.turn();
    expect(written).toBe(text);
  }
});

test("what can grow is held, what cannot is not", () => {
  expect(wholeUntil("plain")).toBe(5);
  expect(wholeUntil("wörld, fine.")).toBe(12);
  expect(wholeUntil("ok 👍")).toBe(3);
  expect(wholeUntil("ok 👍\ud83c")).toBe(3);
  expect(wholeUntil("🇩🇪🇳")).toBe(4);
  expect(wholeUntil("ok 👍!")).toBe("ok 👍!".length);
  expect(wholeUntil("")).toBe(0);
});

test("held text is released after 100 ms, and nothing is scheduled afterwards", () => {
  const film = new Film();
  const written: string[] = [];
  const paced = new PacedText((text) => written.push(text), {}, film);
  paced.push("ok 👍");
  film.turn();
  expect(written).toEqual(["ok "]);
  for (let at = 0; at < 10; at++) film.turn();
  expect(written).toEqual(["ok ", "👍"]);
  expect(film.pending).toBe(0);
});

test("one write a frame, however many pieces come", () => {
  const film = new Film();
  const written: string[] = [];
  const paced = new PacedText((text) => written.push(text), {}, film);
  for (const piece of "many small pieces".split("")) paced.push(piece);
  expect(written).toEqual([]);
  film.turn();
  expect(written).toEqual(["many small pieces"]);
});

test("bursts are spread, the first character at once, the end without delay", () => {
  const film = new Film();
  const written: string[] = [];
  const paced = new PacedText((text) => written.push(text), { smooth: "auto" }, film);
  paced.push("x".repeat(150));
  film.turn();
  expect(written[0]!.length).toBeGreaterThan(0);
  expect(written[0]!.length).toBeLessThan(60);
  for (let at = 0; at < 12; at++) film.turn();
  expect(written.join("").length).toBeGreaterThan(130);
  expect(Math.max(...written.map((piece) => piece.length))).toBeLessThan(60);
  paced.end();
  film.turn();
  expect(written.join("").length).toBe(150);
});

test("even text is not slowed, nor is fast text", () => {
  const pace = new Pace();
  for (let now = 0; now < 1000; now += 20) {
    pace.arrived(4, now);
    expect(pace.take(4, now)).toBe(4);
  }
  const fast = new Pace();
  fast.arrived(200, 0);
  for (let now = 16; now < 800; now += 16) fast.arrived(200, now);
  expect(fast.take(500, 800)).toBe(500);
});
