/** The live table, and what the last thousand streams were like. */
import { Component } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { cancelStream, stopStream } from "./api.ts";
import { EndsOverTime, Histogram, HitsOverTime, Verdicts } from "./charts.tsx";
import { duration, endsOverTime, histogram, hitsOverTime, kindOf, quantile, readers, type Row, verdicts } from "./figures.ts";
import { EMPTY, watch, type Table } from "./watch.ts";

/** Ended streams in the table. */
const SHOWN = 30;

/** Pixels of a row (the style sheet says so), and rows that are kept on each side of the window's start. */
const ROW = 34;
const [ABOVE, BELOW] = [20, 60];

/** The rows to have in the document, in steps of ten, so that scrolling a little changes nothing. */
export function near(top: number, count: number): { first: number; last: number } {
  if (count <= ABOVE + BELOW) return { first: 0, last: count };
  const at = Math.min(count - 1, Math.floor(top / ROW / 10) * 10);
  return { first: Math.max(0, at - ABOVE), last: Math.min(count, at + BELOW) };
}

export function Live({ keyOf }: { keyOf: string }) {
  const [table, setTable] = useState<Table>(EMPTY);
  useEffect(() => {
    const abort = new AbortController();
    void watch(setTable, abort.signal);
    return () => abort.abort();
  }, [keyOf]);
  const recent = table.ended.slice(-SHOWN).reverse();
  return (
    <section class="live" aria-label="Streams">
      {table.problem && <p class="notice error" role="alert">{table.problem}</p>}
      {table.partial && <p class="notice" role="status">Another gateway does not answer just now: its streams are missing here.</p>}
      <Figures ended={table.ended} />
      <h2>Live <span class="count">{table.count}</span></h2>
      <Rows rows={table.live} empty="Nothing is streaming." label="Live streams" live />
      <h2>Ended</h2>
      <Rows rows={recent} empty="No stream has ended yet." label="Ended streams" />
    </section>
  );
}

function Figures({ ended }: { ended: Row[] }) {
  const drawn = useMemo(() => {
    const [ttft, tpot, added] = (["ttft", "tpot", "added_latency"] as const).map((name) => ended.map((row) => row[name]));
    const median = (values: (number | null)[]): string => `p50 ${duration(quantile(values, 0.5))} · p99 ${duration(quantile(values, 0.99))}`;
    return (
      <div class="charts">
        <Histogram title="TTFT" bars={histogram(ttft!, 0.01)} note={median(ttft!)} />
        <Histogram title="TPOT" bars={histogram(tpot!, 0.001)} note={median(tpot!)} />
        <Histogram title="Added by the gateway" bars={histogram(added!, 0.0001)} note={median(added!)} />
        <EndsOverTime slices={endsOverTime(ended, Date.now() / 1000)} />
        <HitsOverTime lines={hitsOverTime(ended, Date.now() / 1000)} />
        <Verdicts lines={verdicts(ended)} />
      </div>
    );
  }, [ended]);
  const { reports, ratio, perceived } = useMemo(() => readers(ended), [ended]);
  const tokens = ended.reduce((sum, { usage, tokens: counted }) => sum + (usage?.output_tokens || counted), 0);
  const costs = ended.map(({ cost }) => cost).filter((cost) => typeof cost === "number");
  return (
    <>
      <dl class="facts">
        <div><dt>Streams ended</dt><dd>{ended.length}</dd></div>
        <div><dt>Tokens</dt><dd>{tokens.toLocaleString()}</dd></div>
        <div><dt>Cost</dt><dd>{costs.length ? costs.reduce((sum, cost) => sum + cost, 0).toFixed(4) : "–"}</dd></div>
        <div><dt>Completion ratio</dt><dd>{ratio === null ? "–" : `${(ratio * 100).toFixed(1)} %`}</dd></div>
        <div><dt>Perceived latency</dt><dd>{duration(perceived)}</dd></div>
        <div><dt>Readers’ reports</dt><dd>{reports}</dd></div>
      </dl>
      {drawn}
    </>
  );
}

function Rows({ rows, empty, label, live = false }: { rows: Row[]; empty: string; label: string; live?: boolean }) {
  const [top, setTop] = useState(0);
  if (!rows.length) return <p class="hint">{empty}</p>;
  // Of hundreds of rows only those near the window are in the document, between two rows as high as the others.
  const { first, last } = near(top, rows.length);
  const several = rows.some(({ replica }) => replica);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
      <table aria-rowcount={rows.length + 1}>
        <thead><tr>
          <th scope="col">Stream</th><th scope="col">Client</th><th scope="col">Model</th><th scope="col">Upstream</th>{several && <th scope="col">Replica</th>}
          <th scope="col">{live ? "State" : "Reason"}</th><th scope="col" class="n">Tokens</th><th scope="col" class="n">Tok/s</th>
          <th scope="col" class="n">TTFT</th><th scope="col" class="n">{live ? "Age" : "Took"}</th>{live && <th scope="col"><span class="hidden">Actions</span></th>}
        </tr></thead>
        <tbody>
          {first > 0 && <tr key="above" aria-hidden="true" style={{ height: `${first * ROW}px` }} />}
          {rows.slice(first, last).map((row) => <StreamRow key={row.id} row={row} live={live} several={several} />)}
          {last < rows.length && <tr key="below" aria-hidden="true" style={{ height: `${(rows.length - last) * ROW}px` }} />}
        </tbody>
      </table>
    </div>
  );
}

/** A row is drawn again only when something that it shows has changed: 500 of them, twice a second. */
class StreamRow extends Component<{ row: Row; live: boolean; several: boolean }> {
  override shouldComponentUpdate({ row, several }: { row: Row; several: boolean }): boolean {
    const was = this.props.row;
    return row.tokens !== was.tokens || row.state !== was.state || row.paused !== was.paused || row.duration !== was.duration || row.upstream !== was.upstream || several !== this.props.several;
  }

  override render() {
    const { row, live, several } = this.props;
    const short = row.id.slice(-8);
    return (
      <tr>
        <td>{short}</td><td>{row.client}</td><td>{row.model}</td><td>{row.upstream ?? "–"}</td>{several && <td>{row.replica ?? "–"}</td>}
        <td class={live ? "" : `end ${kindOf(row.reason)}`}>{live ? `${row.state}${row.paused ? ", reader behind" : ""}` : row.reason}</td>
        <td class="n">{row.tokens}</td><td class="n">{row.tpot ? (1 / row.tpot).toFixed(0) : "–"}</td>
        <td class="n">{duration(row.ttft)}</td><td class="n">{duration(row.duration)}</td>
        {live && (
          <td>
            <button type="button" aria-label={`Stop ${short}`} onClick={() => void stopStream(row.id).catch(() => {})}>Stop</button>
            <button type="button" aria-label={`Cancel ${short}`} onClick={() => void cancelStream(row.id).catch(() => {})}>Cancel</button>
          </td>
        )}
      </tr>
    );
  }
}
