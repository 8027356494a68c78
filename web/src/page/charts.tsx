/** Small bar charts as SVG: readable without colour, with their figures as text. */
import type { Bar, Kind } from "./figures.ts";

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
