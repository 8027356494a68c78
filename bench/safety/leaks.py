"""``python -m bench.safety.leaks``: does anything leak through the running gateway, whichever way the model cuts it?

Two packages that know nothing of Tidegate ask. ``chunk-invariance`` cuts texts at every place (short ones in every way
there is) and compares what a reader of the stream gets with what the filter makes of the whole text.
``pii-leak-benchmark`` plays the model and the client, cuts every value at every place, and looks for it on either side,
also for parts of it. Exit code 1 when something leaked.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.measure import process
from bench.relays import Launch, tidegate_launch
from bench.rig import RigError, free_port, wait_ready
from tidegate.safety import sanitize
from tidegate.safety.profile import Channel, Profiles

TEXTS = (
    "Mail bob.smith@mail.example.com or call (212) 555-2368.",
    "Card 4111 1111 1111 1111, IBAN DE89370400440532013000.",
    "My ssn is 123-45-6789, at 192.168.17.4.",
    "Key ghp_aB3dE5gH7jaB3dE5gH7jaB3dE5gH7jaB3dE5 is secret.",
    "-----BEGIN PRIVATE KEY-----\nMIIE+/=\n-----END PRIVATE KEY-----\nBye \U0001f30a",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF and a tail",
)
"""Each is cut at every place."""

SHORT = ("a@b.co x", "1.2.3.4 b")
"""Each is cut in every way there is: 128 and 256."""


class Model(BaseHTTPRequestHandler):
    """A model server whose answer stands in the prompt, as a JSON list of what it says one after the other."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for text in json.loads(body["messages"][0]["content"]):
            self.say({"content": text}, None)
        self.say({}, "stop")
        self.write(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def say(self, delta: dict[str, str], finish: str | None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        self.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    def write(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()


@contextlib.contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """A server on a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class Finisher(BaseHTTPRequestHandler):
    """Stands before the benchmark's model server, which ends its answers without a finish reason: a gateway that knows
    a broken answer from a whole one retries it and says 502, and of such a case nothing is learnt.
    """

    protocol_version = "HTTP/1.1"
    model = 0
    """Its port."""

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        connection = http.client.HTTPConnection("127.0.0.1", self.model, timeout=30.0)
        try:
            connection.request("POST", self.path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            self.send_response(answer.status)
            self.send_header("content-type", answer.headers.get("content-type", ""))
            self.send_header("transfer-encoding", "chunked")
            self.send_header("connection", "close")  # the next case has another server at that port
            self.end_headers()
            for line in answer:
                self.write(FINISHED + line if line.startswith(b"data: [DONE]") else line)
            self.wfile.write(b"0\r\n\r\n")
        finally:
            connection.close()

    def write(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()


FINISHED = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'


@contextlib.contextmanager
def finishing(port: int) -> Iterator[int]:
    """It, in front of the model server at ``port``."""
    with served(type("FinisherOf", (Finisher,), {"model": port})) as before:
        yield before


@contextlib.contextmanager
def gateway(upstream: int, **settings: str) -> Iterator[int]:
    """A gateway as anybody starts it, in front of it."""
    port = free_port()
    launch: Launch = tidegate_launch(port, upstream, TIDEGATE_LEDGER__URL="off", **settings)
    with tempfile.TemporaryDirectory() as folder, process(launch.argv, launch.environ, Path(folder) / "log"):
        if not wait_ready(port, "/readyz", 30.0):
            raise RigError("the gateway did not start")
        yield port


def through(port: int, pieces: Iterable[str]) -> Iterator[str]:
    """What a reader gets of an answer that is said in these pieces, delta by delta."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30.0)
    prompt = json.dumps(list(pieces))
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": prompt}]}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:]).get("choices") or [{}]
                yield choices[0].get("delta", {}).get("content") or ""
    finally:
        connection.close()


def invariance() -> bool:
    """Whether every cut of every text leaves as the whole text does."""
    from chunk_invariance import ChunkInvarianceError, assert_chunk_invariant

    # The prompt holds what the model shall say, so it must leave as it is: the profile is for answers only.
    machine = Profiles().named("strict").machine(Channel.OUTPUT)
    assert machine is not None
    answers = {"TIDEGATE_SAFETY__USE": "answers", "TIDEGATE_SAFETY__PROFILE__0__NAME": "answers"}
    answers["TIDEGATE_SAFETY__PROFILE__0__RULES"] = "secrets,pii"
    cuts, good = 0, True
    with served(Model) as upstream, gateway(upstream, **answers) as port:

        def whole(text: str) -> str:
            return sanitize(machine, text, key=b"bench").text

        def stream(chunks: Iterable[str]) -> Iterator[str]:
            nonlocal cuts
            cuts += 1
            return through(port, chunks)

        for text, splits in [*((text, 2) for text in TEXTS), *((text, "all") for text in SHORT)]:
            try:
                assert_chunk_invariant(stream, whole, text, splits=splits)
            except ChunkInvarianceError as error:
                good = False
                print(error)
    print(f"chunk-invariance: {len(TEXTS)} texts cut at every place and {len(SHORT)} in every way, {cuts} streams")
    print(f"  differences: {'none' if good else 'see above'}")
    return good


def benchmark(seed: str = "a1b2c3d4e5f60001") -> bool:
    """Whether ``pii-leak-benchmark-v2`` finds nothing on either side, with every split and of no part."""
    upstream = free_port()
    program = Path(sys.executable).with_name("pii-leak-benchmark-v2")
    with (
        tempfile.TemporaryDirectory() as name,
        finishing(upstream) as whole,
        gateway(whole, TIDEGATE_SAFETY__USE="strict") as port,
    ):
        argv = [str(program), "--only", "tidegate", "--gateway-url", f"http://127.0.0.1:{port}/v1/chat/completions"]
        argv += ["--upstream-port", str(upstream), "--seed", seed, "--exhaustive-splits", "--partial-emission"]
        argv += ["--out", name, "--json-out", f"{name}/summary.json"]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, env=os.environ.copy(), timeout=600)
        try:
            row = json.loads(Path(name, "summary.json").read_text())["rows"][0]
        except (OSError, LookupError, ValueError):
            print(done.stdout, done.stderr)
            return False
        print("pii-leak-benchmark-v2 --exhaustive-splits --partial-emission")
        print("  " + done.stdout.strip().replace("\n", "\n  "))
    sent = row["request_path_leak"]
    print(f"  cases without an answer: {row['inconclusive']} of {row['cases_attempted']}")
    print(f"  values that reached the model server: {', '.join(sent) if sent else 'none'}")
    print("  (fidelity is how many values come back to the client; the gateway redacts and restores none)")
    nothing = row["leak_single_chunk"] == row["leak_adversarial"] == 0 and "partial-emission=0.0 " in done.stdout
    return bool(nothing and not sent and not row["inconclusive"])


def main() -> int:
    """Both; exit code 1 when something leaked."""
    found = [invariance(), benchmark()]
    print("zero leaks" if all(found) else "LEAKED")
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
