import { afterEach, expect, test } from "vitest";
import { LLMStreamClient, StreamError, type StreamEvent, type StreamResult } from "../../src/client/index.ts";
import { append } from "../../src/client/transport.ts";
import { delta, head, peer, sse, type Answer, type Peer } from "../peer.ts";

const open: Peer[] = [];
async function server(...answers: Answer[]): Promise<Peer> {
  const one = await peer(...answers);
  open.push(one);
  return one;
}
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

const QUICK = { retryDelay: 5, timeout: 2000 };
const ask = { messages: [] };

const whole: Answer = (response) => {
  head(response);
  response.end(sse(delta("Hel"), delta("lo"), delta("", "stop"), { choices: [], usage: { prompt_tokens: 3, completion_tokens: 2 } }, "[DONE]"));
};

const begun =
  (then: (response: Parameters<Answer>[0]) => void): Answer =>
  (response) => {
    head(response);
    response.write(sse(delta("half")), () => then(response));
  };

async function run(one: Peer, options = {}): Promise<StreamResult> {
  return await new LLMStreamClient({ ...QUICK, endpoint: one.url }).stream(ask, options).result;
}

test("a whole answer has its text, usage, finish reason and figures", async () => {
  const one = await server(whole);
  const result = await run(one);
  expect(result).toMatchObject({ end: "stop", text: "Hello", finishReason: "stop", tokens: 2, malformed: 0, retries: 0 });
  expect(result.usage).toEqual({ prompt: 3, output: 2, cached: 0, reasoning: 0 });
  expect(result.ttft).toBeGreaterThan(0);
  expect(result.error).toBeUndefined();
  expect(JSON.parse(one.requests[0]!.body)).toMatchObject({ stream: true, max_tokens: 2048, temperature: 0.7 });
});

test("NDJSON says the same, heartbeats and a chunk that is none in between", async () => {
  const one = await server((response) => {
    head(response, "application/x-ndjson");
    response.end(`${JSON.stringify(delta("a"))}\n\n{"broken\n${JSON.stringify(delta("b", "length"))}\n`);
  });
  expect(await run(one)).toMatchObject({ end: "length", text: "ab", malformed: 1 });
});

test("iterating gives every event and ends", async () => {
  const one = await server(whole);
  const seen: StreamEvent[] = [];
  for await (const event of new LLMStreamClient({ ...QUICK, endpoint: one.url }).stream(ask)) seen.push(event);
  expect(seen.map((event) => event.type)).toEqual(["started", "text", "text", "finished", "usage"]);
});

test("leaving the loop cancels, and the server's side closes", async () => {
  const one = await server(begun(() => {}));
  const stream = new LLMStreamClient({ ...QUICK, endpoint: one.url }).stream(ask);
  for await (const event of stream) if (event.type === "text") break;
  expect((await stream.result).end).toBe("cancelled");
  await expect.poll(() => one.dropped).toBe(1);
});

test.each([
  ["the body ends cleanly", begun((response) => response.end())],
  ["the body ends with [DONE] alone", begun((response) => response.end(sse("[DONE]")))],
  ["the connection breaks", begun((response) => response.destroy())],
])("no finish reason is a cut, and the text is kept: %s", async (_, answer) => {
  const one = await server(answer);
  const stream = new LLMStreamClient({ ...QUICK, endpoint: one.url }).stream(ask);
  let text = "";
  const iterate = async (): Promise<void> => {
    for await (const event of stream) if (event.type === "text") text += event.text;
  };
  await expect(iterate()).rejects.toMatchObject({ name: "StreamError", end: "cut", text: "half" });
  expect(text).toBe("half");
  expect(await stream.result).toMatchObject({ end: "cut", text: "half", retries: 0 });
  expect(one.requests).toHaveLength(1);
});

test("a finish reason without [DONE] is a success", async () => {
  const one = await server((response) => {
    head(response);
    response.end(sse(delta("a", "stop")));
  });
  expect((await run(one)).end).toBe("stop");
});

test("an error inside the stream carries its code; a gateway's word for a cut is a cut", async () => {
  const failing = (code: string): Answer => begun((response) => response.end(sse({ error: { message: "no", code } })));
  const one = await server(failing("fire"), failing("upstream_cut"), failing("idle_timeout"));
  expect((await run(one)).error).toMatchObject({ end: "error", code: "fire", message: "no", text: "half" });
  expect((await run(one)).end).toBe("cut");
  expect((await run(one)).end).toBe("stalled");
});

const refuse =
  (status: number, headers: Record<string, string> = {}, body = '{"error":{"message":"because","code":"why"}}'): Answer =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(body);
  };

test("what may be different the next time is asked again, before the first token only", async () => {
  const one = await server(refuse(503), (response) => void response.destroy(), whole);
  expect(await run(one)).toMatchObject({ end: "stop", text: "Hello", retries: 2 });
  expect(one.requests).toHaveLength(3);
});

test("after the last try the refusal is told", async () => {
  const one = await server(refuse(502));
  const { error, retries } = await run(one, { retryAttempts: 1 });
  expect(error).toMatchObject({ end: "error", status: 502, message: "because", code: "why" });
  expect([retries, one.requests.length]).toEqual([1, 2]);
});

test.each([400, 401, 403, 404, 413])("status %i is not asked again", async (status) => {
  const one = await server(refuse(status));
  expect((await run(one)).error).toMatchObject({ status, message: "because" });
  expect(one.requests).toHaveLength(1);
});

test("Retry-After is waited for; one that nobody would sit through ends the stream and is told", async () => {
  const one = await server(refuse(429, { "retry-after": "1" }), whole);
  expect((await run(one)).end).toBe("stop");
  expect(one.requests[1]!.at - one.requests[0]!.at).toBeGreaterThan(950);
  const other = await server(refuse(429, { "retry-after": "120" }));
  expect((await run(other)).error).toMatchObject({ status: 429, retryAfter: 120 });
});

test("a page of HTML is no stream, also with status 200", async () => {
  const one = await server((response) => {
    head(response, "text/html");
    response.end("<h1>Bad gateway</h1>");
  });
  const { error } = await run(one);
  expect(error?.message).toContain("not a stream (text/html)");
  const refused = await server((response) => void response.writeHead(502, { "content-type": "text/html" }).end("<h1>x</h1>"));
  expect((await run(refused, { retryAttempts: 0 })).error?.message).toBe("The server answered with status 502.");
});

test("silence is a stall, heartbeats are none", async () => {
  const quiet = await server(begun(() => {}));
  expect(await run(quiet, { timeout: 50 })).toMatchObject({ end: "stalled", text: "half" });
  await expect.poll(() => quiet.dropped).toBe(1);
  const beating = await server(
    begun((response) => {
      const timer = setInterval(() => response.write(":\n"), 300);
      setTimeout(() => (clearInterval(timer), response.end(sse(delta("!", "stop")))), 2500);
    }),
  );
  expect(await run(beating, { timeout: 2000 })).toMatchObject({ end: "stop", text: "half!" });
});

test("an aborted signal cancels in every phase", async () => {
  const silent = await server(() => {});
  const abort = new AbortController();
  const stream = new LLMStreamClient({ ...QUICK, endpoint: silent.url }).stream(ask, { signal: abort.signal });
  await expect.poll(() => silent.requests.length).toBe(1);
  abort.abort();
  expect(await stream.result).toMatchObject({ end: "cancelled" });
  await expect.poll(() => silent.dropped).toBe(1);
  expect((await run(silent, { signal: AbortSignal.abort() })).end).toBe("cancelled");
});

test("stop asks a gateway, and the answer so far ends as stopped with its usage", async () => {
  let first: Parameters<Answer>[0] | undefined;
  const one = await server(
    (response) => {
      first = response;
      head(response, "text/event-stream", { "x-stream-id": "abc" });
      response.write(sse(delta("half")));
    },
    (response) => {
      response.end("{}");
      const usage = { prompt_tokens: 1, completion_tokens: 1 };
      first!.end(sse({ ...delta("", "stop"), usage, tidegate: { reason: "soft_stop", usage: "estimated" } }, "[DONE]"));
    },
    (response) => void response.writeHead(204).end(),
  );
  const stream = new LLMStreamClient({ ...QUICK, endpoint: one.url }).stream(ask, {}, { events: () => void stream.stop() });
  const result = await stream.result;
  expect(result).toMatchObject({ end: "stopped", text: "half", id: "abc", usage: { output: 1, estimated: true } });
  expect(one.requests.map(({ url }) => url).slice(1)).toContain("/v1/streams/abc/stop");
  await expect.poll(() => one.requests.length).toBe(3);
  const seen = one.requests[2]!;
  expect(seen.url).toBe("/v1/streams/abc/seen");
  expect(JSON.parse(seen.body)).toMatchObject({ stopped: true, received: 4 });
});

test("stop with a server that cannot be asked ends the stream and keeps the text", async () => {
  const one = await server(begun(() => {}));
  const stream = new LLMStreamClient({ ...QUICK, endpoint: one.url }).stream(ask, {}, { events: () => void stream.stop() });
  expect(await stream.result).toMatchObject({ end: "stopped", text: "half" });
  await expect.poll(() => one.dropped).toBe(1);
});

test("generate calls exactly one of onComplete and onError", async () => {
  const calls: string[] = [];
  const one = await server(whole, begun((response) => response.end()));
  const client = new LLMStreamClient(QUICK);
  const generate = (): Promise<StreamResult> =>
    client.generate(
      one.url,
      ask,
      (text) => calls.push(text),
      ({ end }) => calls.push(end),
      (error) => calls.push(error instanceof StreamError ? `${error.end} ${error.text}` : "?"),
    );
  await generate();
  await generate();
  expect(calls).toEqual(["Hello", "stop", "half", "cut half"]);
});

test("cancel ends every stream of the client", async () => {
  const one = await server(begun(() => {}));
  const client = new LLMStreamClient({ ...QUICK, endpoint: one.url });
  const both = [client.stream(ask), client.stream(ask)];
  await expect.poll(() => both.every((stream) => stream.text === "half")).toBe(true);
  client.cancel();
  expect(await Promise.all(both.map(async (stream) => (await stream.result).end))).toEqual(["cancelled", "cancelled"]);
  await expect.poll(() => one.dropped).toBe(2);
});

test("a filter sees each piece before anybody else", async () => {
  const one = await server(whole);
  const result = await run(one, { incrementalFilter: (text: string) => text.toUpperCase() });
  expect(result.text).toBe("HELLO");
});

test("tool calls are joined", async () => {
  const call = (fields: object): object => ({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, ...fields }] } }] });
  const one = await server((response) => {
    head(response);
    response.end(sse(call({ id: "t1", function: { name: "tide", arguments: '{"a"' } }), call({ function: { arguments: ":1}" } }), delta("", "tool_calls")));
  });
  expect(await run(one)).toMatchObject({ end: "tool_calls", toolCalls: [{ id: "t1", name: "tide", arguments: '{"a":1}' }] });
});

test("past the limit texts are added up, and nothing is dropped or moved", () => {
  const events: StreamEvent[] = [];
  for (let at = 0; at < 20; at++) {
    append(events, { type: "text", choice: 0, text: String(at % 10) }, 5);
    if (at === 12) append(events, { type: "reasoning", choice: 0, text: "r" }, 5);
  }
  expect(events).toHaveLength(7);
  const text = events.map((event) => ("text" in event ? event.text : "")).join("");
  expect(text).toBe("0123456789012r3456789");
});
