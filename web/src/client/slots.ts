/**
 * On HTTP/1.1 a browser gives a host six connections, over all tabs; a seventh request waits in silence, be it the one
 * that would stop a stream. So streams are counted per origin across tabs (Web Locks), two connections stay free, and
 * who waits is told so, with its place.
 */

const release: () => void = () => {};

/**
 * Wait for a place among the streams of `origin`.
 * @param waits called with the place in the queue, 1 being the next, whenever it changes.
 * @returns what gives the place back.
 * @throws the signal's reason when it aborts first.
 */
export async function place(
  origin: string,
  most: number,
  signal: AbortSignal,
  waits: (place: number) => void,
): Promise<() => void> {
  if (typeof navigator === "undefined" || !navigator.locks || !(await crowded(origin))) return release;
  const slots = Array.from({ length: most }, (_, at) => `tidegate ${origin} ${at}`);
  const free = await firstFree(slots);
  if (free) return free;
  const queue = `tidegate ${origin} queue`;
  // The order of this lock is first come, first served: who holds it is the next.
  let at = Infinity;
  const better = (now: number): void => {
    // Those behind us are counted too; a place only ever gets better.
    if (now < at) waits((at = now));
  };
  const granted = navigator.locks.request(queue, { signal }, () => {
    better(1);
    return anyOf(slots, signal);
  });
  void length(queue).then(better);
  const timer = setInterval(() => void length(queue).then(better), 500);
  try {
    return await granted;
  } finally {
    at = 0;
    clearInterval(timer);
  }
}

async function length(queue: string): Promise<number> {
  const { held = [], pending = [] } = await navigator.locks.query();
  return [...held, ...pending].filter((lock) => lock.name === queue).length;
}

/** Whether six connections are all there are. HTTP/2 needs TLS in a browser; without it there is nothing to look up. */
async function crowded(origin: string): Promise<boolean> {
  if (new URL(origin).protocol === "http:") return true;
  const seen = performance
    .getEntriesByType("resource")
    .concat(performance.getEntriesByType("navigation"))
    .filter((entry) => entry.name.startsWith(`${origin}/`)) as PerformanceResourceTiming[];
  const protocol = seen.findLast((entry) => entry.nextHopProtocol)?.nextHopProtocol;
  return protocol?.startsWith("http/1") ?? false;
}

async function firstFree(slots: string[]): Promise<(() => void) | undefined> {
  for (const slot of slots) {
    const free = await hold(slot, { ifAvailable: true });
    if (free) return free;
  }
  return undefined;
}

/** Take whichever lock comes first, and withdraw from the others. */
async function anyOf(slots: string[], signal: AbortSignal): Promise<() => void> {
  const rest = new AbortController();
  const both = AbortSignal.any([signal, rest.signal]);
  let won: (() => void) | undefined;
  const tries = slots.map(async (slot) => {
    const free = await hold(slot, { signal: both });
    if (!free) throw new Error(slot);
    // Two may be granted in one turn: the second is given back.
    if (won) free();
    else won = free;
  });
  try {
    await Promise.any(tries);
  } catch {
    signal.throwIfAborted();
  }
  rest.abort();
  return won ?? release;
}

/** Hold a lock until the function that comes back is called; `undefined` when it cannot be had. */
function hold(name: string, options: LockOptions): Promise<(() => void) | undefined> {
  return new Promise((resolve) => {
    navigator.locks
      .request(name, options, (lock) => {
        if (!lock) return resolve(undefined);
        return new Promise<void>((free) => resolve(free));
      })
      .catch(() => resolve(undefined));
  });
}
