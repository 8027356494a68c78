/**
 * Server-sent events, bytes in and events out, after the WHATWG event-stream grammar (HTML Living Standard, §9.2).
 *
 * Where the bytes were cut never shows: not inside a character, a CRLF, the byte-order mark or a field name. Cost is
 * linear: what is unfinished is kept in pieces and joined once, when its line ends.
 */

/** One dispatched event. `id` and `retry` only when this event carried them. */
export interface SseEvent {
  data: string;
  event?: string;
  id?: string;
  retry?: number;
}

/** Real events reach 2 MiB (images as base64); a stream that never ends a line must not fill memory. */
export const MAX_EVENT = 8 * 1024 * 1024;

/** An event or a record is over the limit; the decoder is of no use afterwards. */
export class TooLarge extends Error {
  override name = "TooLarge";
}

export class SseDecoder {
  /** Comment lines seen. */
  comments = 0;
  /** What a browser would send as `Last-Event-ID` after a reconnect. */
  lastEventId = "";
  readonly #max: number;
  readonly #utf8 = new TextDecoder();
  // The unfinished line in pieces, and its size.
  #fragments: string[] = [];
  #tail = 0;
  // A CR ended the last feed: an LF at the start of the next one belongs to it.
  #skipLf = false;
  #overflown = false;
  // The unfinished event, and the size of the lines that it came in.
  #data: string[] = [];
  #event = "";
  #id: string | undefined;
  #retry: number | undefined;
  #held = 0;
  // Unlike `#id` it outlives its event (the grammar's "last event ID buffer").
  #lastId = "";

  /** @param max the most UTF-16 units that one event, or one line of any kind, may have. */
  constructor(max = MAX_EVENT) {
    this.#max = max;
  }

  /**
   * The events that `bytes` complete, in order.
   * @throws {TooLarge} events completed before the limit are returned first; the next call throws.
   */
  feed(bytes: Uint8Array): SseEvent[] {
    return this.#text(this.#utf8.decode(bytes, { stream: true }));
  }

  /** The body has ended. True when an event had begun and not ended: its last event was cut. */
  close(): boolean {
    this.#text(this.#utf8.decode());
    return this.#held + this.#tail > 0;
  }

  #text(text: string): SseEvent[] {
    const events: SseEvent[] = [];
    this.#check(events);
    if (this.#skipLf && text) {
      this.#skipLf = false;
      if (text.startsWith("\n")) text = text.slice(1);
    }
    if (text.includes("\r")) {
      this.#skipLf = text.endsWith("\r");
      text = text.replace(/\r\n?/g, "\n");
    }
    const cut = text.lastIndexOf("\n");
    if (cut >= 0) {
      let whole = text.slice(0, cut);
      if (this.#fragments.length) {
        whole = this.#fragments.join("") + whole;
        this.#fragments = [];
        this.#tail = 0;
      }
      for (const line of whole.split("\n")) this.#line(line, events);
      text = text.slice(cut + 1);
    }
    if (text && !this.#overflown) {
      this.#fragments.push(text);
      this.#tail += text.length;
      this.#overflown = this.#held + this.#tail > this.#max;
    }
    return this.#check(events);
  }

  #line(line: string, events: SseEvent[]): void {
    if (this.#overflown) return;
    if (!line) return this.#dispatch(events);
    if (this.#held + line.length > this.#max) {
      this.#overflown = true;
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) {
      this.comments++;
      return;
    }
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line.charCodeAt(colon + 1) === 32 ? colon + 2 : colon + 1);
    if (this.#field(name, value)) this.#held += line.length + 1;
  }

  #field(name: string, value: string): boolean {
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id") {
      if (!value.includes("\0")) this.#id = this.#lastId = value;
    } else if (name === "retry") {
      if (/^[0-9]{1,15}$/.test(value)) this.#retry = Number(value);
    } else return false;
    return true;
  }

  #dispatch(events: SseEvent[]): void {
    if (!this.#held) return;
    this.lastEventId = this.#lastId;
    if (this.#data.length) {
      const event: SseEvent = { data: this.#data.length > 1 ? this.#data.join("\n") : (this.#data[0] as string) };
      if (this.#event) event.event = this.#event;
      if (this.#id !== undefined) event.id = this.#id;
      if (this.#retry !== undefined) event.retry = this.#retry;
      events.push(event);
      this.#data = [];
    }
    this.#event = "";
    this.#id = this.#retry = undefined;
    this.#held = 0;
  }

  #check(events: SseEvent[]): SseEvent[] {
    if (this.#overflown && !events.length) throw new TooLarge(`An event of more than ${this.#max} bytes.`);
    return events;
  }
}
