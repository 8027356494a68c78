/** Conversations, kept in this browser and sent nowhere but to the model. */
import type { StreamEnd } from "../client/ends.ts";

export interface Turn {
  role: "user" | "assistant";
  content: string;
  reasoning?: string;
  /** Of an answer: how it ended, and its figures. */
  end?: StreamEnd;
  error?: string;
  figures?: string;
}

export interface Conversation {
  id: string;
  model: string;
  turns: Turn[];
}

const KEY = "tidegate.conversations";
const MOST = 50;
/** UTF-16 units that a browser lets an origin keep are about five million. */
const MAX_SIZE = 2_000_000;

export function load(storage: Pick<Storage, "getItem"> = localStorage): Conversation[] {
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? "[]") as Conversation[];
    return Array.isArray(kept) ? kept.filter((one) => typeof one?.id === "string" && Array.isArray(one.turns)) : [];
  } catch {
    return [];
  }
}

/** Keep the newest ones, as many as fit. */
export function save(all: Conversation[], storage: Pick<Storage, "setItem"> = localStorage): void {
  const kept = all.filter((one) => one.turns.length).slice(0, MOST);
  let text = JSON.stringify(kept);
  while (text.length > MAX_SIZE && kept.length > 1) {
    kept.pop();
    text = JSON.stringify(kept);
  }
  try {
    storage.setItem(KEY, text);
  } catch {
    // full, or not allowed: then they last as long as the page
  }
}

export const begin = (model: string): Conversation => ({ id: crypto.randomUUID(), model, turns: [] });

export const titleOf = ({ turns }: Conversation): string => turns[0]?.content.trim().slice(0, 48) || "New conversation";

/** What to ask with: the turns so far; and, to continue a cut answer, the wish to go on where it stopped. */
export function messagesOf(turns: Turn[]): { role: string; content: string }[] {
  const messages = turns.filter(({ content }) => content).map(({ role, content }) => ({ role, content }));
  if (messages.at(-1)?.role === "assistant")
    messages.push({ role: "user", content: "Continue your answer exactly where it stopped. Repeat nothing." });
  return messages;
}
