/** The wire cases that every decoder of this repository runs: `corpus/README.md` says what is in them. */
import { readdirSync, readFileSync } from "node:fs";

const FOLDER = new URL("../../corpus/", import.meta.url);

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- data whose shape the corpus's README defines
export type Case = Record<string, any>;

export function cases(room: string): Case[] {
  const folder = new URL(`${room}/`, FOLDER);
  return readdirSync(folder)
    .sort()
    .flatMap((file) => (JSON.parse(readFileSync(new URL(file, folder), "utf8")) as { cases: Case[] }).cases);
}

export function bodyOf(one: Case): Uint8Array {
  if (one.text !== undefined) return new TextEncoder().encode(one.text);
  if (one.base64 !== undefined) return new Uint8Array(Buffer.from(one.base64, "base64"));
  const parts = (one.stream as unknown[]).map((item) =>
    typeof item === "string" ? item : `data: ${JSON.stringify(item)}\n\n`,
  );
  return new TextEncoder().encode(parts.join(""));
}

/** `body` whole, in two at every byte, byte by byte, and in threes. */
export function* cuts(body: Uint8Array): Generator<Uint8Array[]> {
  yield [body];
  for (let at = 1; at < body.length; at++) yield [body.subarray(0, at), body.subarray(at)];
  for (const size of [1, 3]) {
    const pieces = [];
    for (let at = 0; at < body.length; at += size) pieces.push(body.subarray(at, at + size));
    yield pieces;
  }
}
