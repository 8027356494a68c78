/** Conversations with a model: ask, watch, stop, continue. */
import { useEffect, useRef, useState } from "preact/hooks";
import { LLMStreamClient, type LLMStream } from "../client/index.ts";
import { PacedText } from "../text/index.ts";
import { TurnView, type Sheet } from "./answer.tsx";
import { at, authorized, models, Refused } from "./api.ts";
import { begin, load, messagesOf, save, titleOf, type Conversation, type Turn } from "./conversations.ts";
import { announce, explain, figuresOf } from "./words.ts";

const client = new LLMStreamClient({ maxTokens: undefined, temperature: undefined });
/** Pixels from the end within which the page follows the text. */
const NEAR = 64;

export function Chat({ keyOf }: { keyOf: string }) {
  const [all, setAll] = useState<Conversation[]>(() => [begin(""), ...load()]);
  const [current, setCurrent] = useState(() => all[0]!.id);
  const [names, setNames] = useState<string[]>([]);
  const [status, setStatus] = useState("");
  const [problem, setProblem] = useState("");
  const [running, setRunning] = useState<LLMStream>();
  const [draft, setDraft] = useState("");
  const sheet = useRef<((sheet: Sheet) => void) | undefined>(undefined);
  const log = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  /** A question was sent before any model was known: it goes as soon as one is. */
  const eager = useRef(false);
  const [listed, setListed] = useState(false);
  const conversation = all.find(({ id }) => id === current) ?? (all[0] as Conversation);

  useEffect(() => {
    models().then(
      (found) => {
        setNames(found);
        setListed(true);
        setProblem(found.length ? "" : "No model is listed: type a name.");
      },
      (error: Refused) => {
        setListed(true);
        setProblem(error.status === 401 ? `${error.message} Enter one above.` : error.message);
      },
    );
  }, [keyOf]);
  useEffect(() => {
    const stop = (event: KeyboardEvent): void => {
      if (event.key === "Escape") void running?.stop();
    };
    addEventListener("keydown", stop);
    return () => removeEventListener("keydown", stop);
  }, [running]);

  const model = conversation.model || names[0] || "";
  const change = (id: string, next: (one: Conversation) => Conversation, keep = true): void =>
    setAll((before) => {
      const after = before.map((one) => (one.id === id ? next(one) : one));
      if (keep) save(after);
      return after;
    });

  /** Ask with `turns`; the answer follows them, or goes on in the last of them. */
  function run(turns: Turn[]): void {
    const id = conversation.id;
    const last = turns.at(-1) as Turn;
    const answer: Turn = last.role === "assistant" ? { ...last, end: undefined!, error: "", figures: "" } : { role: "assistant", content: "" };
    const shown = last.role === "assistant" ? turns.slice(0, -1) : turns;
    const stream = client.stream(
      { model, messages: messagesOf(turns) },
      { endpoint: at("api/v1/chat/stream"), headers: authorized() },
      { events: (events) => events.forEach((event) => event.type === "text" && paced.push(event.text)), state: () => setStatus(stateOf(stream)) },
    );
    let target: Sheet | undefined;
    let early = "";
    const paced = new PacedText((text) => {
      stream.shown = (stream.shown ?? 0) + text.length;
      if (target) target.write(text);
      else early += text;
      follow();
    });
    sheet.current = (given) => {
      target = given;
      given.write(early);
      early = "";
    };
    change(id, (one) => ({ ...one, model, turns: [...shown, answer] }));
    setRunning(stream);
    void stream.result.then((result) => {
      paced.flush();
      target?.end();
      const content = answer.content + result.text;
      const done: Turn = { ...answer, content, end: result.end, error: explain({ ...result, text: content }), figures: figuresOf(result) };
      if (result.reasoning) done.reasoning = result.reasoning;
      setRunning(undefined);
      setStatus(announce(result.end, content));
      change(id, (one) => ({ ...one, turns: [...shown, done] }));
    });
  }

  function follow(): void {
    const box = document.scrollingElement as HTMLElement;
    const near = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR + 40;
    if (near) requestAnimationFrame(() => (box.scrollTop = box.scrollHeight));
  }

  /** The field's own text counts: what was typed just now is not in `draft` before the next render. */
  function send(): void {
    const content = (field.current?.value ?? draft).trim();
    if (!content || running) return;
    eager.current = !listed && !model;
    if (eager.current) return setStatus("Waiting for the list of models");
    if (field.current) field.current.value = "";
    setDraft("");
    run([...conversation.turns, { role: "user", content }]);
    requestAnimationFrame(() => scrollTo(0, document.documentElement.scrollHeight));
  }

  useEffect(() => {
    if (eager.current && listed) send();
  }, [listed]);

  const turns = conversation.turns;
  return (
    <section class="chat" aria-label="Chat">
      <div class="bar">
        <label>Model <input list="models" value={model} disabled={running !== undefined} onChange={(event) => change(conversation.id, (one) => ({ ...one, model: event.currentTarget.value }), false)} /></label>
        <datalist id="models">{names.map((name) => <option key={name} value={name} />)}</datalist>
        <label>Conversation
          <select value={conversation.id} disabled={running !== undefined} onChange={(event) => setCurrent(event.currentTarget.value)}>
            {all.map((one) => <option key={one.id} value={one.id}>{titleOf(one)}</option>)}
          </select>
        </label>
        <button type="button" disabled={running !== undefined || !turns.length} onClick={() => {
          const fresh = begin(model);
          setAll((before) => [fresh, ...before.filter((one) => one.turns.length)]);
          setCurrent(fresh.id);
        }}>New</button>
      </div>
      {problem && <p class="notice error" role="alert">{problem}</p>}
      <div class="log" role="log" aria-live="off" aria-label="Conversation" ref={log} key={conversation.id}>
        {turns.map((turn, place) => (
          <TurnView
            key={place}
            turn={turn}
            last={place === turns.length - 1}
            live={running && place === turns.length - 1 && turn.role === "assistant" ? (given) => sheet.current?.(given) : undefined}
            actions={{
              onEdit: () => {
                if (running) return;
                setDraft(turn.content);
                change(conversation.id, (one) => ({ ...one, turns: turns.slice(0, place) }));
              },
              onRetry: () => run(turns.slice(0, place)),
              onContinue: () => run(turns),
            }}
          />
        ))}
        {!turns.length && <p class="hint">Ask something. What you write stays in this browser, and goes to the model.</p>}
      </div>
      <form class="ask" onSubmit={(event) => {
        event.preventDefault();
        send();
      }}>
        <label class="hidden" for="prompt">Message</label>
        <textarea id="prompt" ref={field} rows={3} value={draft} dir="auto" placeholder="Ask something"
          onInput={(event) => setDraft(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            send();
          }} />
        <div class="bar">
          <span role="status">{status}</span>
          {running
            ? <button type="button" class="main" aria-keyshortcuts="Escape" onClick={() => void running.stop()}>Stop</button>
            : <button type="submit" class="main" disabled={!draft.trim()}>Send</button>}
        </div>
      </form>
    </section>
  );
}

function stateOf(stream: LLMStream): string {
  if (stream.state === "queued") return `Waiting: place ${stream.place} in the queue of this browser's streams`;
  if (stream.state === "streaming") return "Answering";
  return stream.state === "ended" ? "" : "Waiting for the first token";
}
