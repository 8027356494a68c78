/** One turn on the screen. The text of an answer belongs to the Markdown renderer; the rest is Preact's. */
import { useEffect, useRef } from "preact/hooks";
import { MarkdownStream } from "../markdown/index.ts";
import type { Turn } from "./conversations.ts";
import { canContinue } from "./words.ts";

/** Where the text of a running answer goes. */
export interface Sheet {
  write(text: string): void;
  end(): void;
}

function copyButton(pre: HTMLElement, text: () => string): void {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.ariaLabel = "Copy code";
  button.addEventListener("click", () => {
    void navigator.clipboard.writeText(text()).then(() => {
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
  });
  // Before the block, in its own layer: text is selected and copied without it.
  queueMicrotask(() => pre.prepend(button));
}

export function AnswerText({ text, live }: { text: string; live?: ((sheet: Sheet) => void) | undefined }) {
  const ref = useRef<HTMLDivElement>(null);
  const alive = live !== undefined;
  const shown = useRef(false);
  useEffect(() => {
    // What was written as it came stays as it stands, with what somebody has selected in it.
    if (!live && shown.current) return;
    shown.current = alive;
    const stream = new MarkdownStream(ref.current as HTMLDivElement, { images: "link", onCode: copyButton });
    stream.write(text);
    if (live) live(stream);
    else stream.end();
    // A running answer is written to by its stream; a settled one is made once.
  }, [alive ? "" : text, alive]);
  return <div class="answer" ref={ref} />;
}

interface Actions {
  onEdit(): void;
  onRetry(): void;
  onContinue(): void;
}

export function TurnView({ turn, last, live, actions }: {
  turn: Turn;
  last: boolean;
  live?: ((sheet: Sheet) => void) | undefined;
  actions: Actions;
}) {
  if (turn.role === "user") {
    return (
      <article class="turn user" aria-label="You">
        <div class="prompt" dir="auto">{turn.content}</div>
        <div class="actions"><button type="button" onClick={actions.onEdit}>Edit</button></div>
      </article>
    );
  }
  const copy = (): void => void navigator.clipboard.writeText(turn.content);
  return (
    <article class="turn assistant" aria-label="Model" aria-busy={live !== undefined}>
      {turn.reasoning && <details><summary>Reasoning</summary><div class="prompt">{turn.reasoning}</div></details>}
      <AnswerText text={turn.content} live={live} />
      {turn.error && <p class={`notice ${turn.end ?? ""}`}>{turn.error}</p>}
      {!live && (
        <div class="actions">
          <span class="figures">{turn.figures}</span>
          {turn.content && <button type="button" onClick={copy}>Copy</button>}
          {last && <button type="button" onClick={actions.onRetry}>Retry</button>}
          {last && turn.content && canContinue(turn.end) && <button type="button" onClick={actions.onContinue}>Continue</button>}
        </div>
      )}
    </article>
  );
}
