"""relay/headers.py: what crosses the gateway, in each direction."""

from __future__ import annotations

import pytest

from tidegate.relay.headers import forwarded, forwarded_call, passed_on
from tidegate.upstream.exchange import ResponseHead
from tidegate.upstream.secrets import Redactor

OURS = [(b"content-type", b"application/json"), (b"accept", b"text/event-stream")]


@pytest.mark.parametrize(
    "name",
    [
        *(b"connection", b"te", b"transfer-encoding", b"upgrade", b"keep-alive", b"host", b"content-length", b"expect"),
        *(b"authorization", b"cookie", b"x-api-key", b"openai-apikey", b"x-auth-token", b"x-session-id", b"x-secret"),
        *(b"x-forwarded-for", b"sec-fetch-mode", b"cf-ray", b"x-tidegate-x", b"origin", b"x-goog-api-key", b"accept"),
    ],
)
def test_what_belongs_to_this_connection_or_is_a_credential_stays(name: bytes) -> None:
    assert forwarded([(name, b"1")]) == OURS


@pytest.mark.parametrize("name", [b"x-request-id", b"user-agent", b"idempotency-key", b"openai-beta", b"traceparent"])
def test_everything_else_passes(name: bytes) -> None:
    assert forwarded([(name, b"1")]) == [*OURS, (name, b"1")]


def test_what_connection_names_stays_too_wherever_it_stands() -> None:
    headers = [(b"x-hop", b"1"), (b"x-end", b"1"), (b"connection", b"close, X-Hop"), (b"x-hop", b"2")]
    assert forwarded(headers) == [*OURS, (b"x-end", b"1")]


@pytest.mark.parametrize("value", [b"close", b"Keep-Alive", b"keep-alive, close", b"CLOSE", b""])
def test_a_connection_that_names_no_header_keeps_none_back(value: bytes) -> None:
    assert forwarded([(b"connection", value), (b"x-end", b"1")]) == [*OURS, (b"x-end", b"1")]


def test_only_known_harmless_headers_come_back() -> None:
    head = ResponseHead(
        200,
        (
            (b"x-request-id", b"req-1"),
            (b"openai-version", b"2020-10-01"),
            (b"set-cookie", b"a=b"),
            (b"request-id", b"x" * 1025),
            (b"openai-processing-ms", b"1\x7f"),
            (b"request-id", b"\x01"),
        ),
    )
    assert passed_on(head, None) == [(b"x-request-id", b"req-1"), (b"openai-version", b"2020-10-01")]


def test_a_secret_in_them_is_removed() -> None:
    head = ResponseHead(200, ((b"x-request-id", b"for-key-0123456789"), (b"request-id", b"2")))
    assert passed_on(head, Redactor(["key-0123456789"])) == [
        (b"x-request-id", b"for-[redacted]"),
        (b"request-id", b"2"),
    ]


def test_a_call_keeps_its_own_content_type_and_accept() -> None:
    headers = [(b"content-type", b"a/b"), (b"accept", b"c/d"), (b"cookie", b"e"), (b"openai-beta", b"f")]
    assert forwarded_call(headers) == [(b"content-type", b"a/b"), (b"accept", b"c/d"), (b"openai-beta", b"f")]
    assert forwarded_call([]) == []
