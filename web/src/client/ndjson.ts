/** Newline-delimited JSON: one JSON text a line, LF or CRLF, blank lines as heartbeats. */
import { MAX_EVENT, TooLarge } from "./sse.ts";

export class NdjsonDecoder {
  readonly #max: number;
  readonly #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  #fragments: string[] = [];
  #tail = 0;
  #overflown = false;

  /** @param max the most UTF-16 units that one line may have, its CR included. */
  constructor(max = MAX_EVENT) {
    this.#max = max;
  }

  /** Units of a line that has not ended. */
  get pending(): number {
    return this.#tail;
  }

  /**
   * The records that `bytes` complete, in order; nobody has parsed them.
   * @throws {TooLarge} records before the limit are returned first; the next call throws.
   */
  feed(bytes: Uint8Array): string[] {
    return this.#text(this.#utf8.decode(bytes, { stream: true }));
  }

  /** The body has ended: a last line without a line end is a record too. */
  close(): string[] {
    const records = this.#text(this.#utf8.decode());
    const rest = this.#fragments.join("");
    this.#fragments = [];
    this.#tail = 0;
    this.#line(rest, records);
    return records;
  }

  #text(text: string): string[] {
    const records: string[] = [];
    this.#check(records);
    const cut = text.lastIndexOf("\n");
    if (cut >= 0) {
      const whole = this.#fragments.join("") + text.slice(0, cut);
      this.#fragments = [];
      this.#tail = 0;
      for (const line of whole.split("\n")) this.#line(line, records);
      text = text.slice(cut + 1);
    }
    if (text && !this.#overflown) {
      this.#fragments.push(text);
      this.#tail += text.length;
      this.#overflown = this.#tail > this.#max;
    }
    return this.#check(records);
  }

  #line(line: string, records: string[]): void {
    if (this.#overflown) return;
    if (line.length > this.#max) {
      this.#overflown = true;
      return;
    }
    const record = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (/[^ \t-\r]/.test(record)) records.push(record);
  }

  #check(records: string[]): string[] {
    if (this.#overflown && !records.length) throw new TooLarge(`A record of more than ${this.#max} bytes.`);
    return records;
  }
}
