/** The page's one worker: reads and decodes every stream of the page, so that a token is no task of the main thread. */
import { read, type WireMessage, type WireRequest } from "./transport.ts";

/** To the worker: a request to begin, or without one, a stream to abort. */
export interface WorkerCall {
  id: number;
  request?: WireRequest;
}

/** From the worker; `message` is missing in the greeting that says that it runs. */
export interface WorkerSays {
  id: number;
  message?: WireMessage;
}

// The library's types are a page's; these three are all that is used of a worker's.
const scope = globalThis as unknown as {
  postMessage(says: WorkerSays): void;
  onmessage: ((event: MessageEvent<WorkerCall>) => void) | null;
};
const live = new Map<number, AbortController>();

scope.onmessage = ({ data: { id, request } }) => {
  if (!request) {
    live.get(id)?.abort();
    return;
  }
  const abort = new AbortController();
  live.set(id, abort);
  void read(request, abort.signal, (message) => scope.postMessage({ id, message })).finally(() => {
    live.delete(id);
    // Nothing comes after this: the page forgets the stream.
    scope.postMessage({ id });
  });
};
scope.postMessage({ id: 0 });
