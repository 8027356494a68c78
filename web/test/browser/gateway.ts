/** The gateway with its simulated models, as a process of its own on a free port of the loopback. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";

const PROGRAM = process.env.TIDEGATE ?? fileURLToPath(new URL("../../../.venv/bin/tidegate", import.meta.url));

/** Gateways of one file of tests keep their ledger and certificates here, and not in the folder of whoever runs them. */
const FOLDER = mkdtempSync(join(tmpdir(), "tidegate-tests-"));
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

export interface Gateway {
  url: string;
  port: number;
  /** Of the process, as bytes of its log. */
  log(): string;
  json<T>(path: string): Promise<T>;
  metrics(): Promise<string>;
  stop(): Promise<void>;
}

export async function gateway(port?: number, ...args: string[]): Promise<Gateway> {
  const at = port ?? (await freePort());
  let log = "";
  const child: ChildProcess = spawn(PROGRAM, ["serve", "--port", String(at), ...args], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, XDG_DATA_HOME: FOLDER },
  });
  child.stderr?.on("data", (data: Buffer) => (log += data.toString()));
  const tls = args.includes("--tls-dev");
  if (tls) process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"; // of a process that speaks to this gateway only
  const url = `${tls ? "https" : "http"}://127.0.0.1:${at}/`;
  for (let tries = 0; ; tries++) {
    const ready = await fetch(`${url}readyz`).then((response) => response.ok, () => false);
    if (ready) break;
    if (child.exitCode !== null || tries > 300) throw new Error(`The gateway did not start:\n${log}`);
    await new Promise((wake) => setTimeout(wake, 100));
  }
  return {
    url,
    port: at,
    log: () => log,
    json: async <T>(path: string) => (await (await fetch(url + path)).json()) as T,
    metrics: async () => await (await fetch(`${url}metrics`)).text(),
    stop: () =>
      new Promise((done) => {
        if (child.exitCode !== null) return done();
        child.on("exit", () => done());
        child.kill("SIGTERM");
        setTimeout(() => child.kill("SIGKILL"), 5000).unref();
      }),
  };
}
