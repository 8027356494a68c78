/** @jsxImportSource react */
/**
 * React: a stream as state, and Markdown that streams. React is whatever the application has.
 *
 * ```tsx
 * const { status, text, start, stop } = useStream({ endpoint: "/api/v1/chat/stream" });
 * return <StreamedMarkdown text={text} done={status === "ended"} />;
 * ```
 */
import { useCallback, useEffect, useRef, useSyncExternalStore, type HTMLAttributes, type ReactElement } from "react";
import { LLMStreamClient, type LLMStream, type StreamOptions, type StreamResult, type StreamState } from "../client/index.ts";
import { MarkdownStream, type MarkdownOptions } from "../markdown/index.ts";

export interface StreamSnapshot {
  /** `idle` before the first `start`. */
  status: StreamState | "idle";
  /** The place in the queue while `queued`. */
  place: number;
  text: string;
  reasoning: string;
  /** When it has ended, well or badly. */
  result: StreamResult | undefined;
}

export interface UseStream extends StreamSnapshot {
  /** Begin; a stream that still runs is cancelled. */
  start(payload: object, options?: StreamOptions): LLMStream;
  /** The soft stop: the answer so far is kept. */
  stop(): Promise<void>;
  cancel(): void;
}

const IDLE: StreamSnapshot = { status: "idle", place: 0, text: "", reasoning: "", result: undefined };

class Store {
  snapshot = IDLE;
  stream: LLMStream | undefined;
  readonly #listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  show(stream: LLMStream, result?: StreamResult): void {
    // One that was replaced has nothing to say any more.
    if (stream !== this.stream) return;
    const { state, place, text, reasoning } = stream;
    this.snapshot = { status: state, place, text, reasoning, result };
    for (const listener of this.#listeners) listener();
  }
}

/** One stream at a time. It is cancelled when the component goes; StrictMode's rehearsal finds nothing to cancel. */
export function useStream(options: StreamOptions = {}): UseStream {
  const ref = useRef<{ store: Store; options: StreamOptions } | null>(null);
  ref.current ??= { store: new Store(), options };
  ref.current.options = options;
  const { store } = ref.current;
  const snapshot = useSyncExternalStore(store.subscribe, () => store.snapshot, () => IDLE);
  useEffect(() => () => store.stream?.cancel(), [store]);
  const start = useCallback(
    (payload: object, more: StreamOptions = {}): LLMStream => {
      store.stream?.cancel();
      const show = (): void => store.stream && store.show(store.stream);
      const stream = new LLMStreamClient(ref.current?.options).stream(payload, more, { events: show, state: show });
      store.stream = stream;
      store.show(stream);
      void stream.result.then((result) => store.show(stream, result));
      return stream;
    },
    [store],
  );
  const stop = useCallback(async () => await store.stream?.stop(), [store]);
  const cancel = useCallback(() => store.stream?.cancel(), [store]);
  return { ...snapshot, start, stop, cancel };
}

export interface StreamedMarkdownProps extends Omit<HTMLAttributes<HTMLDivElement>, "children"> {
  /** The text so far. When it has only grown, only what was added is read. */
  text: string;
  /** No more comes. */
  done?: boolean;
  options?: MarkdownOptions;
}

/** React makes the element and never looks into it: a token costs no rendering of components. */
export function StreamedMarkdown({ text, done = false, options, ...attributes }: StreamedMarkdownProps): ReactElement {
  const element = useRef<HTMLDivElement>(null);
  const state = useRef<{ stream: MarkdownStream; text: string; done: boolean } | null>(null);
  useEffect(() => {
    const now = state.current;
    const fresh = !now || !text.startsWith(now.text) || (now.done && (text !== now.text || !done));
    const { stream, text: shown } = fresh ? { stream: new MarkdownStream(element.current as HTMLDivElement, options), text: "" } : now;
    stream.write(text.slice(shown.length));
    if (done) stream.end();
    state.current = { stream, text, done };
  }, [text, done, options]);
  // StrictMode's rehearsal of an unmount leaves the element: it is written again from the start.
  useEffect(() => () => void (state.current = null), []);
  return <div {...attributes} ref={element} />;
}
