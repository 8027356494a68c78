/** @jsxImportSource react */
/** The same in React, in StrictMode: the component that goes takes its stream with it. */
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { StreamedMarkdown, useStream } from "@tidegate/client/react";

const model = new URLSearchParams(location.search).get("model") ?? "sim/prose";

function Answer({ prompt }: { prompt: string }) {
  const { status, text, result, start, stop } = useStream({ endpoint: "/api/v1/chat/stream" });
  const running = status !== "idle" && status !== "ended";
  return (
    <>
      <button onClick={() => start({ model, messages: [{ role: "user", content: prompt }] })}>Send</button>
      <button id="stop" disabled={!running} onClick={() => void stop()}>Stop</button>
      <p role="status">{result ? `${result.end}, ${result.tokens} tokens` : status}</p>
      <StreamedMarkdown text={text} done={status === "ended"} />
    </>
  );
}

function App() {
  const [open, setOpen] = useState(true);
  return (
    <>
      <button id="close" onClick={() => setOpen(false)}>Close</button>
      {open && <Answer prompt="Tell me about the tide." />}
    </>
  );
}

createRoot(document.getElementById("app") as HTMLElement).render(<StrictMode><App /></StrictMode>);
