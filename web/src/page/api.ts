/** The gateway behind this page, and the key that it is asked with. */

const KEY = "tidegate.key";

/** The key lives as long as the tab: nowhere else. */
export const getKey = (): string => sessionStorage.getItem(KEY) ?? "";

export function setKey(key: string): void {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

export const authorized = (): Record<string, string> => (getKey() ? { authorization: `Bearer ${getKey()}` } : {});

/** Paths are relative to the page: the gateway may be mounted below a prefix. */
export const at = (path: string): string => new URL(path, document.baseURI).href;

export class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** The JSON of an answer. @throws {Refused} with the gateway's own words, or what stands in for them. */
export async function ask<T>(path: string, method = "GET"): Promise<T> {
  let response: Response;
  try {
    response = await fetch(at(path), { method, headers: authorized() });
  } catch {
    throw new Refused(0, "The gateway does not answer. It may be restarting.");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, body?.error?.message ?? `The gateway answered ${response.status}.`);
  if (body === null) throw new Refused(response.status, "What answered is not the gateway: it sent no JSON.");
  return body as T;
}

export const models = async (): Promise<string[]> =>
  (await ask<{ data: { id: string }[] }>("v1/models")).data.map(({ id }) => id);

export const stopStream = (id: string): Promise<unknown> => ask(`v1/streams/${encodeURIComponent(id)}/stop`, "POST");
export const cancelStream = (id: string): Promise<unknown> => ask(`v1/streams/${encodeURIComponent(id)}`, "DELETE");
