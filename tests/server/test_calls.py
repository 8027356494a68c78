"""server/calls.py: which paths are calls; what becomes of them is tests/e2e/test_calls.py."""

from __future__ import annotations

import pytest
from starlette.routing import Match

from tidegate.server.calls import CallRoute
from tidegate.server.gateway import Gateway
from tidegate.server.options import GatewayOptions, ServerOptions


def match(path: str, method: str = "POST", *, calls: bool = True) -> Match:
    gateway = Gateway(GatewayOptions(server=ServerOptions(calls=calls)))
    return CallRoute(gateway).matches({"type": "http", "path": path, "method": method, "headers": []})[0]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/files/x/content", "/v1/audio/speech", "/v1/responses"])
def test_a_call_is_everything_of_the_api(path: str) -> None:
    assert match(path) is Match.FULL
    assert match(path, "TRACE") is Match.PARTIAL
    assert match(path, calls=False) is Match.NONE


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models/x", "/v1/streams", "/v2/embeddings", "/v1", "/"])
def test_what_is_the_gateways_own_is_no_call(path: str) -> None:
    assert match(path, "GET") is Match.NONE
