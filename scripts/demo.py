"""``make demo``: the gateway on its embedded defaults, one answer streamed in the terminal, and then yours to try.

Standard library only. ``DEMO_ONCE=1`` stops after the answer.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

PROMPT = "Explain in four sentences why the sea rises and falls twice a day."
START_TIMEOUT = 90.0


def port() -> int:
    """8080, or a free one when that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8080))
        except OSError:
            print("Port 8080 is in use; taking a free one.")
            with socket.socket() as other:
                other.bind(("127.0.0.1", 0))
                return int(other.getsockname()[1])
        return 8080


class Log:
    """What the gateway logs, passed on between two lines of ours and never in the middle of an answer."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._free = threading.Event()
        self._free.set()
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def _pass_on(self) -> None:
        for line in self._source:
            self._free.wait()
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()

    def __enter__(self) -> None:
        """From here on it waits."""
        self._free.clear()

    def __exit__(self, *_: object) -> None:
        self._free.set()

    def finish(self) -> None:
        """The gateway has ended: what it said last."""
        self._thread.join(5)


def wait_ready(server: subprocess.Popen[bytes], where: int) -> None:
    """Until it answers; ends the demo when it does not."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"The gateway stopped with code {server.returncode}; what it said stands above.")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", where, timeout=2)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"The gateway was not ready within {START_TIMEOUT:g} s.")


def ask(where: int, path: str, body: object = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", where, timeout=120)
    data = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, data, {"content-type": "application/json"})
    return connection.getresponse()


def stream(where: int) -> None:
    """One answer, token by token, with its times."""
    model = json.load(ask(where, "/v1/models"))["data"][0]["id"]
    print(f"\n\033[1m{model}\033[0m ← {PROMPT}\n", flush=True)
    began = time.monotonic()
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 160}
    response = ask(where, "/api/v1/chat/stream", body)
    if response.status != 200:
        sys.exit(f"The gateway answered {response.status}: {response.read().decode()}")
    first, finish = None, None
    for line in response:
        if not line.strip():
            continue  # a heartbeat
        event = json.loads(line)
        if "error" in event:
            sys.exit(f"\nThe stream failed: {event['error']['message']}")
        for choice in event["choices"]:
            if choice["delta"].get("content"):
                first = first or time.monotonic()
                print(choice["delta"]["content"], end="", flush=True)
            finish = choice["finish_reason"] or finish
    if first is None or finish is None:
        sys.exit("\nThe answer ended without a finish reason: it is not whole.")
    seen = json.load(ask(where, f"/v1/streams/{response.headers['x-stream-id']}"))
    print(f"\n\nFinished: {finish}, {seen['tokens']} tokens. As the gateway measured it:", end=" ")
    print(
        f"TTFT {seen['ttft'] * 1e3:.0f} ms, TPOT {seen['tpot'] * 1e3:.1f} ms ({1 / seen['tpot']:.0f} tokens/s).",
        end=" ",
    )
    print(f"Seen here: TTFT {(first - began) * 1e3:.0f} ms.", flush=True)


def main() -> int:
    where = port()
    program = Path(sys.executable).with_name("tidegate")
    shape = {"TIDEGATE_SERVER__LOG_FORMAT": "console"} if sys.stderr.isatty() else {}
    server = subprocess.Popen(
        [program, "serve", "--local", "--port", str(where)], stderr=subprocess.PIPE, env={**shape, **os.environ}
    )
    assert server.stderr is not None
    log = Log(server.stderr)
    try:
        wait_ready(server, where)
        with log:
            stream(where)
        if os.environ.get("DEMO_ONCE"):
            return 0
        print(f"\nThe gateway is running. The page: http://127.0.0.1:{where}/   Stop it with Ctrl-C.\n", flush=True)
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
        log.finish()


if __name__ == "__main__":
    sys.exit(main())
