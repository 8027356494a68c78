/** The live table: an event stream that is read for as long as somebody looks, and read again when it breaks. */
import { SseDecoder } from "../client/sse.ts";
import { at, authorized } from "./api.ts";
import type { Row } from "./figures.ts";

export interface Table {
  /** How many there are; `live` may hold fewer. */
  count: number;
  live: Row[];
  /** Newest last. */
  ended: Row[];
  problem: string;
  /** Streams of another gateway may be missing. */
  partial: boolean;
}

const MOST_ENDED = 1000;

export const EMPTY: Table = { count: 0, live: [], ended: [], problem: "", partial: false };

/** Take one event in. */
export function take(table: Table, name: string, data: string): Table {
  if (name === "streams") {
    const { live, streams, partial = false } = JSON.parse(data) as { live: number; streams: Row[]; partial?: boolean };
    return { ...table, count: live, live: streams, problem: "", partial };
  }
  if (name !== "ended") return table;
  const ended = new Map(table.ended.map((row) => [row.id, row]));
  for (const row of JSON.parse(data) as Row[]) ended.set(row.id, row);
  return { ...table, ended: [...ended.values()].slice(-MOST_ENDED), problem: "" };
}

/** @param show called with each new state of the table. */
export async function watch(show: (table: Table) => void, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; failures++) {
    let problem = "The gateway does not answer. Trying again.";
    // A connection begins with everything that is known: what was shown before is forgotten with its first event.
    let table = EMPTY;
    try {
      const response = await fetch(at("v1/streams/events"), { headers: authorized(), signal });
      if (!response.ok) {
        const body = await response.json().catch(() => null);
        problem = body?.error?.message ?? `The gateway answered ${response.status}.`;
      } else {
        const reader = (response.body as ReadableStream<Uint8Array>).getReader();
        const decoder = new SseDecoder();
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          const events = decoder.feed(value);
          for (const { event = "", data } of events) table = take(table, event, data);
          if (events.length) show(table);
          failures = 0;
        }
      }
    } catch {
      // told below
    }
    if (signal.aborted) return;
    show({ ...table, live: [], count: 0, problem });
    await new Promise((wake) => setTimeout(wake, Math.random() * Math.min(10_000, 500 * 2 ** failures) + 250));
  }
}
