/** A real HTTP server on a free port of the loopback that answers as a test says. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Answer = (response: ServerResponse, request: IncomingMessage, body: string) => void | Promise<void>;

export interface Peer {
  url: string;
  /** Requests seen, and how many of their connections were closed from outside before the answer's end. */
  requests: { url: string; body: string; at: number }[];
  dropped: number;
  close(): Promise<void>;
}

/** One answer per request, in order; the last one again for all that follow. */
export async function peer(...answers: Answer[]): Promise<Peer> {
  const self: Peer = { url: "", requests: [], dropped: 0, close: async () => {} };
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts).toString();
    const answer = answers[Math.min(self.requests.length, answers.length - 1)] as Answer;
    self.requests.push({ url: request.url ?? "", body, at: performance.now() });
    response.on("close", () => {
      if (!response.writableFinished) self.dropped++;
    });
    await answer(response, request, body);
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  self.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/chat/completions`;
  self.close = () =>
    new Promise((done) => {
      server.closeAllConnections();
      server.close(() => done());
    });
  return self;
}

export const delta = (content: string, finish: string | null = null): object => ({
  id: "c",
  model: "m",
  choices: [{ index: 0, delta: content ? { content } : {}, finish_reason: finish }],
});

export const sse = (...chunks: (object | string)[]): string =>
  chunks.map((chunk) => `data: ${typeof chunk === "string" ? chunk : JSON.stringify(chunk)}\n\n`).join("");

export function head(response: ServerResponse, type = "text/event-stream", more: Record<string, string> = {}): void {
  response.writeHead(200, { "content-type": type, ...more });
}
