/** Small bar charts as SVG: readable without colour, with their figures as text. */
import type { Bar, hitsOverTime, Kind, verdicts } from "./figures.ts";

const [WIDTH, HEIGHT] = [240, 64];

export function Histogram({ title, bars, note }: { title: string; bars: Bar[]; note: string }) {
  const most = Math.max(1, ...bars.map(({ count }) => count));
  const step = WIDTH / Math.max(8, bars.length);
  return (
    <figure>
      <figcaption>{title} <span>{note}</span></figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT + 2}`} role="img" aria-label={`${title}: ${bars.filter(({ count }) => count).map(({ label, count }) => `${count} ${label}`).join(", ") || "nothing yet"}`}>
        <line x1="0" x2={WIDTH} y1={HEIGHT + 1} y2={HEIGHT + 1} />
        {bars.map(({ label, count }, place) => {
          const height = (count / most) * HEIGHT;
          return <rect key={label} x={place * step + 1} width={step - 2} y={HEIGHT - height} height={height}><title>{`${label}: ${count}`}</title></rect>;
        })}
      </svg>
      <div class="scale"><span>{bars[0]?.label}</span><span>{bars.length > 1 ? bars.at(-1)?.label : ""}</span></div>
    </figure>
  );
}

const KINDS: Kind[] = ["finished", "stopped", "left", "failed"];

export function EndsOverTime({ slices }: { slices: Record<Kind, number>[] }) {
  const most = Math.max(1, ...slices.map((slice) => KINDS.reduce((sum, kind) => sum + slice[kind], 0)));
  const step = WIDTH / slices.length;
  const totals = KINDS.map((kind) => `${slices.reduce((sum, slice) => sum + slice[kind], 0)} ${kind}`).join(", ");
  return (
    <figure>
      <figcaption>Ends, last 10 minutes <span>{totals}</span></figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT + 2}`} role="img" aria-label={`Ends in the last 10 minutes: ${totals}`}>
        <line x1="0" x2={WIDTH} y1={HEIGHT + 1} y2={HEIGHT + 1} />
        {slices.map((slice, place) => {
          let top = HEIGHT;
          return KINDS.map((kind) => {
            const height = (slice[kind] / most) * HEIGHT;
            top -= height;
            return height > 0 && <rect key={kind} class={kind} x={place * step + 1} width={step - 2} y={top} height={height} />;
          });
        })}
      </svg>
      <div class="scale"><span>10 min ago</span><span>now</span></div>
    </figure>
  );
}

/** A row of bars for each rule, on one scale. */
export function HitsOverTime({ lines }: { lines: ReturnType<typeof hitsOverTime> }) {
  const most = Math.max(1, ...lines.flatMap(({ counts }) => counts));
  const high = 14;
  return (
    <figure class="hits">
      <figcaption>Safety hits, last 10 minutes <span>{lines.length ? "" : "none"}</span></figcaption>
      {lines.map(({ rule, counts, total }) => (
        <div key={rule} class="rule">
          <span>{rule}</span>
          <svg viewBox={`0 0 ${WIDTH} ${high + 1}`} preserveAspectRatio="none" role="img" aria-label={`${rule}: ${total} in the last 10 minutes`}>
            <line x1="0" x2={WIDTH} y1={high + 0.5} y2={high + 0.5} />
            {counts.map((count, place) => {
              const [step, height] = [WIDTH / counts.length, (count / most) * high];
              return height > 0 && <rect key={place} x={place * step + 1} width={step - 2} y={high - height} height={height} />;
            })}
          </svg>
          <span class="n">{total}</span>
        </div>
      ))}
    </figure>
  );
}

/** What classifiers and checks of whole answers said; nothing where none was asked. */
export function Verdicts({ lines }: { lines: ReturnType<typeof verdicts> }) {
  if (!lines.length) return null;
  return (
    <figure class="verdicts">
      <figcaption>Verdicts <span>sentences flagged, answers ended</span></figcaption>
      {lines.map(({ name, said }) => <div key={name} class="rule"><span>{name}</span><span>{said}</span></div>)}
    </figure>
  );
}
