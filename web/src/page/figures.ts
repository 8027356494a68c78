/** PURE. From streams that ended to what the page draws of them. */

/** A stream as the gateway tells of it. Seconds. */
export interface Row {
  id: string;
  client: string;
  model: string;
  upstream: string | null;
  state: string;
  reason: string | null;
  created: number;
  duration: number;
  ttft: number | null;
  tpot: number | null;
  added_latency: number | null;
  tokens: number;
  usage: { prompt_tokens: number; output_tokens: number } | null;
  cost?: number | null;
  paused: boolean;
  /** What safety rules found, and never what it was. */
  safety?: { rule: string; action: string; count: number }[];
  /** The verdict on the whole answer, where one was asked for. */
  validation?: { valid: boolean | null } | null;
  reader?: Record<string, number | boolean | null>;
  /** The gateway that has it, where there are several. */
  replica?: string;
}

export interface Bar {
  label: string;
  count: number;
}

/** Counts by buckets that double; without the empty ones at both ends. */
export function histogram(values: (number | null | undefined)[], least: number): Bar[] {
  const counts: number[] = [];
  for (const value of values) {
    if (typeof value !== "number" || value < 0) continue;
    const place = Math.min(40, Math.max(0, Math.ceil(Math.log2(value / least))));
    counts[place] = (counts[place] ?? 0) + 1;
  }
  const bars = Array.from(counts, (count, place) => ({ label: `≤ ${duration(least * 2 ** place)}`, count: count ?? 0 }));
  const first = bars.findIndex(({ count }) => count);
  return first < 0 ? [] : bars.slice(first);
}

export function quantile(values: (number | null | undefined)[], share: number): number | null {
  const sorted = values.filter((value): value is number => typeof value === "number").sort((a, b) => a - b);
  return sorted.length ? (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number) : null;
}

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  return seconds < 100 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds / 60)} min`;
}

export type Kind = "finished" | "stopped" | "left" | "failed";

const KINDS: Record<string, Kind> = {
  ...{ stop: "finished", length: "finished", tool_calls: "finished", content_filter: "finished", filtered: "finished" },
  ...{ soft_stop: "stopped", client_cancel: "left", client_stalled: "left" },
};

export const kindOf = (reason: string | null): Kind => KINDS[reason ?? ""] ?? "failed";

/** Ends of each slice of time up to `now`, oldest first. */
export function endsOverTime(rows: Row[], now: number, slices = 20, width = 30): Record<Kind, number>[] {
  const all = Array.from({ length: slices }, () => ({ finished: 0, stopped: 0, left: 0, failed: 0 }));
  for (const { created, duration: took, reason } of rows) {
    const place = slices - 1 - Math.floor((now - created - took) / width);
    const slice = all[Math.min(slices - 1, place)];
    if (slice && place >= 0) slice[kindOf(reason)]++;
  }
  return all;
}

/** Hits of each safety rule by slice of time up to `now`, oldest first; the rules with most hits, and the rest as one. */
export function hitsOverTime(rows: Row[], now: number, most = 6, slices = 20, width = 30): { rule: string; counts: number[]; total: number }[] {
  const found = new Map<string, number[]>();
  for (const { created, duration: took, safety } of rows) {
    const place = slices - 1 - Math.max(0, Math.floor((now - created - took) / width));
    if (place < 0) continue;
    for (const { rule, count } of safety ?? []) {
      const counts = found.get(rule) ?? Array<number>(slices).fill(0);
      counts[place] = counts[place]! + count;
      found.set(rule, counts);
    }
  }
  const lines = [...found].map(([rule, counts]) => ({ rule, counts, total: counts.reduce((sum, count) => sum + count, 0) }));
  lines.sort((one, two) => two.total - one.total || (one.rule < two.rule ? -1 : 1));
  const rest = lines.splice(lines.length > most ? most - 1 : most);
  if (rest.length) {
    const counts = Array.from({ length: slices }, (_, at) => rest.reduce((sum, line) => sum + line.counts[at]!, 0));
    lines.push({ rule: `${rest.length} more`, counts, total: counts.reduce((sum, count) => sum + count, 0) });
  }
  return lines;
}

/** Each classifier with what it flagged and ended, most first; then what the checks of whole answers said. */
export function verdicts(rows: Row[]): { name: string; said: string }[] {
  const classifiers = new Map<string, { sentences: number; ended: number }>();
  const whole = { valid: 0, "not valid": 0, unchecked: 0 };
  for (const { safety, validation } of rows) {
    for (const { rule, action, count } of safety ?? []) {
      if (!rule.startsWith(CLASSIFIER)) continue;
      const name = rule.slice(CLASSIFIER.length);
      const found = classifiers.get(name) ?? { sentences: 0, ended: 0 };
      found.sentences += count;
      if (action === "block") found.ended++;
      classifiers.set(name, found);
    }
    if (validation) whole[validation.valid === null ? "unchecked" : validation.valid ? "valid" : "not valid"]++;
  }
  const lines = [...classifiers].sort(([, one], [, two]) => two.sentences - one.sentences);
  const all = lines.map(([name, { sentences, ended }]) => ({ name, said: `${sentences} flagged, ${ended} ended` }));
  const counted = Object.entries(whole).filter(([, count]) => count);
  return counted.length ? [...all, { name: "whole answers", said: counted.map(([what, count]) => `${count} ${what}`).join(", ") }] : all;
}

const CLASSIFIER = "classifier:";

/** What readers' own pages reported. The ratio leaves out streams that were stopped on purpose. */
export function readers(rows: Row[]): { reports: number; ratio: number | null; perceived: number | null } {
  const reports = rows.map(({ reader }) => reader).filter((reader) => reader !== undefined);
  const counted = reports.filter((reader) => ["finished", "left", "cut", "failed"].some((name) => reader[name] === true));
  const finished = counted.filter((reader) => reader.finished === true).length;
  return {
    reports: reports.length,
    ratio: counted.length ? finished / counted.length : null,
    perceived: quantile(reports.map((reader) => (typeof reader.first_paint === "number" ? reader.first_paint : null)), 0.5),
  };
}
