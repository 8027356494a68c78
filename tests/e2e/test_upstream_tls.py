"""A model server behind TLS: its stream takes the same ways as any other, on both loops, and is whole."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from unittest.mock import patch

import pytest
import trustme

from tests.e2e.faces import face, question
from tests.fakes.gateway import gateway, run, upstream
from tests.fakes.reader import ask
from tests.relay.streams import ROLE, STOP, chunk, sse
from tidegate.relay.express import Express

TEXTS = [f" word{at}" for at in range(40)]


async def model(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Two answers on one connection, a chunk for each token."""
    for _ in range(2):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for payload in (ROLE, *(chunk({"content": text}) for text in TEXTS), STOP, b"[DONE]"):
            event = sse(payload)
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(0.002)
        writer.write(b"0\r\n\r\n")
    writer.close()


@face
@pytest.mark.parametrize("plain_loop", [False, True], ids=["uvloop", "asyncio"])
def test_a_stream_behind_tls_is_whole_and_its_tokens_go_straight(
    fast: bool, path: str, plain_loop: bool, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    straight = 0
    received = Express.data_received

    def counted(self: Express, data: bytes) -> None:
        nonlocal straight
        straight += 1
        received(self, data)

    async def case() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        server = await asyncio.start_server(model, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        try:
            up = upstream(f"https://127.0.0.1:{port}/v1", ca_file=str(tmp_path / "ca.pem"))
            async with gateway(up, fast=fast) as gate:
                for _ in range(2):
                    reader = await ask(gate.port, path, question("m"))
                    assert (reader.status, reader.text) == (200, "".join(TEXTS))
                    assert reader.finish == "stop"
        finally:
            server.close()

    with patch.object(Express, "data_received", counted):
        run(case(), plain_loop=plain_loop)
    assert straight > 0 or not fast
