/** Where streams are read: one worker per page, made when the first stream needs it; here, where none can be had. */
import { read, type WireMessage, type WireRequest } from "./transport.ts";
import type { WorkerCall, WorkerSays } from "./worker.ts";

type Tell = (message: WireMessage) => void;

/** Milliseconds for the worker's script to load and say so; after that, streams are read on the main thread. */
const PATIENCE = 3000;

interface Policies {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

let shared: Promise<PageWorker | undefined> | undefined;

/** Read `request`, in the worker when there is one. Resolves when nothing more will be told; never rejects. */
export async function readIn(
  place: boolean | string | URL,
  request: WireRequest,
  signal: AbortSignal,
  tell: Tell,
): Promise<void> {
  const worker = place === false || typeof Worker === "undefined" ? undefined : await (shared ??= PageWorker.start(place));
  if (signal.aborted) return;
  await (worker ? worker.read(request, signal, tell) : read(request, signal, tell));
}

class PageWorker {
  readonly #worker: Worker;
  readonly #live = new Map<number, { tell: Tell; done: () => void }>();
  #last = 0;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<WorkerSays>) => {
      for (const { id, message } of data) {
        // A handler that throws is one stream's bug; the others hear what is theirs.
        try {
          if (message) this.#live.get(id)?.tell(message);
          else this.#settle(id);
        } catch (error) {
          reportError(error);
        }
      }
    };
    // A worker that dies takes its connections with it; its streams are broken, and the next ones get a new worker.
    worker.onerror = () => {
      shared = undefined;
      for (const [id, { tell }] of this.#live) {
        tell({ kind: "broken", message: "The worker failed.", sent: true });
        this.#settle(id);
      }
    };
  }

  /** The running worker; `undefined` when its script cannot be loaded here. */
  static start(place: true | string | URL): Promise<PageWorker | undefined> {
    return new Promise((resolve) => {
      try {
        const worker = new Worker(scriptUrl(place), { type: "module", name: "tidegate" });
        const give = (): void => {
          worker.terminate();
          resolve(undefined);
        };
        const timer = setTimeout(give, PATIENCE);
        worker.onerror = (event) => {
          event.preventDefault();
          clearTimeout(timer);
          give();
        };
        worker.onmessage = () => {
          clearTimeout(timer);
          resolve(new PageWorker(worker));
        };
      } catch {
        resolve(undefined); // refused by the page's policy
      }
    });
  }

  read(request: WireRequest, signal: AbortSignal, tell: Tell): Promise<void> {
    const id = ++this.#last;
    return new Promise((done) => {
      this.#live.set(id, { tell, done });
      signal.addEventListener("abort", () => this.#post({ id }), { once: true });
      this.#post({ id, request });
    });
  }

  #post(call: WorkerCall): void {
    this.#worker.postMessage(call);
  }

  #settle(id: number): void {
    this.#live.get(id)?.done();
    this.#live.delete(id);
  }
}

/** Under Trusted Types a worker's address needs a policy: `tidegate-worker` is the one to allow. */
function scriptUrl(place: true | string | URL): string {
  const url = place === true ? new URL("./worker.js", import.meta.url).href : String(place);
  const types = (globalThis as { trustedTypes?: Policies }).trustedTypes;
  return types ? types.createPolicy("tidegate-worker", { createScriptURL: (text) => text }).createScriptURL(url) : url;
}
