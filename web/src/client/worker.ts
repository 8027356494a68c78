/** The page's one worker: reads and decodes every stream of the page, so that a token is no task of the main thread. */
import { read, type WireMessage, type WireRequest } from "./transport.ts";

/** To the worker: a request to begin, or without one, a stream to abort. */
export interface WorkerCall {
  id: number;
  request?: WireRequest;
}

/** From the worker, in order. `message` is missing where nothing more comes of the stream. */
export type WorkerSays = { id: number; message?: WireMessage }[];

/** Milliseconds in which what several streams have to say is said together: each message is a task of the page. */
const GATHER = 16;

// The library's types are a page's; these three are all that is used of a worker's.
const scope = globalThis as unknown as {
  postMessage(says: WorkerSays): void;
  onmessage: ((event: MessageEvent<WorkerCall>) => void) | null;
};
const live = new Map<number, AbortController>();
/** Streams of which the page has had a token. */
const begun = new Set<number>();
let gathered: WorkerSays = [];
let posted = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

function post(): void {
  clearTimeout(timer);
  timer = undefined;
  posted = performance.now();
  scope.postMessage(gathered);
  gathered = [];
}

/** What is not just more text of a stream goes at once, as does all that one stream alone has to say. */
function say(id: number, message: WireMessage | undefined, throttle = 0): void {
  gathered.push(message ? { id, message } : { id });
  const more = message?.kind === "events" && begun.has(id);
  if (message?.kind === "events") begun.add(id);
  const left = posted + Math.min(GATHER, throttle) - performance.now();
  if (!more || live.size === 1 || left <= 0) post();
  else timer ??= setTimeout(post, left);
}

scope.onmessage = ({ data: { id, request } }) => {
  if (!request) {
    live.get(id)?.abort();
    return;
  }
  const abort = new AbortController();
  live.set(id, abort);
  void read(request, abort.signal, (message) => say(id, message, request.throttle)).finally(() => {
    live.delete(id);
    begun.delete(id);
    // Nothing comes after this: the page forgets the stream.
    say(id, undefined);
  });
};
post(); // it runs
