/** Milliseconds of CPU: the machine may have other things to do. */
function time(work: (text: string) => unknown, text: string): number {
  const began = process.cpuUsage();
  work(text);
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1000;
}

/**
 * Whether work on a text of five times the length costs about five times as much ("linear"), or the figures if not.
 * Quadratic would be 25 times. A collection of garbage in between costs one of several tries; what is quadratic is so
 * in each of them. A fifth of a second is quick enough for fifty thousand characters of nonsense.
 */
export function isLinear(work: (text: string) => unknown, small: string, large: string): string {
  const tries: string[] = [];
  for (let at = 0; at < 5; at++) {
    const [once, five] = [time(work, small), time(work, large)];
    if (five < 200 || five / once < 14) return "linear";
    tries.push(`${once.toFixed(1)} ms, then ${five.toFixed(1)} ms`);
  }
  return tries.join("; ");
}
