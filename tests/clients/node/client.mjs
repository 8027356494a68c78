// The official Node SDK against a gateway: what it got, as one JSON line.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "any", maxRetries: 0 });
const ask = (model) =>
  client.chat.completions.create({ model, stream: true, messages: [{ role: "user", content: "Why?" }] });

let text = "";
for await (const chunk of await ask("sim/prose")) text += chunk.choices[0].delta.content ?? "";

const tools = [];
for await (const chunk of await ask("sim/tools"))
  for (const call of chunk.choices[0].delta.tool_calls ?? []) if (call.function?.name) tools.push(call.function.name);

let error = null;
try {
  for await (const _ of await ask("sim/no-finish"));
} catch (raised) {
  error = raised.message;
}

const endless = await ask("sim/prose?tokens=100000");
for await (const _ of endless) break; // leaving the loop aborts the request

console.log(JSON.stringify({ text, tools, error }));
