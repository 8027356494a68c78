/** An answer in a page without a framework: the stream, whole characters, Markdown, an honest end. */
import { LLMStreamClient, StreamError, type LLMStream } from "@tidegate/client";
import { MarkdownStream } from "@tidegate/client/markdown";
import { PacedText } from "@tidegate/client/text";

const find = <T extends Element>(selector: string): T => document.querySelector(selector) as T;
const form = find<HTMLFormElement>("form");
const stop = find<HTMLButtonElement>("#stop");
const status = find<HTMLElement>("[role=status]");

const model = new URLSearchParams(location.search).get("model") ?? "sim/prose";
const client = new LLMStreamClient({ endpoint: "/api/v1/chat/stream" });
let running: LLMStream | undefined;

stop.addEventListener("click", () => void running?.stop());
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const prompt = String(new FormData(form).get("prompt"));
  const answer = new MarkdownStream(find("article"));
  const text = new PacedText((piece) => answer.write(piece));
  const stream = client.stream({ model, messages: [{ role: "user", content: prompt }] });
  running = stream;
  stop.disabled = false;
  status.textContent = "Answering";
  try {
    for await (const event of stream) if (event.type === "text") text.push(event.text);
    const { end, tokens } = await stream.result;
    status.textContent = `${end}, ${tokens} tokens`;
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    status.textContent = `${error.end}: ${error.message}`;
  } finally {
    text.flush();
    answer.end();
    stop.disabled = true;
  }
});
