"""What a refusal means, and when to try again."""

from __future__ import annotations

import pytest

from tidegate.client.failure import backoff, refusal, retryable
from tidegate.errors import UpstreamFailed, UpstreamProtocolError, UpstreamRefused

KEY = "sk-0123456789"


def refused(status: int, body: bytes = b"", **headers: str) -> tuple[type, bool, str]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    error = refusal(status, names, body, secret=KEY, now_epoch=0.0)
    return type(error), retryable(error, longest_wait=30.0), error.message


def test_a_4xx_is_final_unless_it_says_later() -> None:
    body = b'{"error": {"message": "No such model.", "code": "model_not_found"}}'
    assert refused(404, body) == (UpstreamRefused, False, "No such model.")
    assert refused(429)[:2] == (UpstreamRefused, True)
    assert refused(408)[1]
    assert refused(409)[1]


def test_a_5xx_is_tried_again() -> None:
    assert refused(503, b"<html>") == (UpstreamFailed, True, "The server answered 503.")


def test_who_asks_for_too_long_a_wait_is_not_waited_for() -> None:
    assert refused(429, retry_after="30")[1]
    assert not refused(429, retry_after="31")[1]


def test_a_redirect_is_not_followed_with_the_key() -> None:
    assert refused(302)[:2] == (UpstreamProtocolError, False)


def test_without_a_key_nothing_is_hidden() -> None:
    assert refusal(401, {}, b"", secret=None, now_epoch=0.0).message == "The server answered 401."


def test_the_key_is_not_repeated() -> None:
    body = f'{{"error": {{"message": "Incorrect API key: {KEY}."}}}}'.encode()
    assert refused(401, body)[2] == "Incorrect API key: [key]."


@pytest.mark.parametrize(("attempt", "ceiling"), [(0, 0.8), (1, 1.6), (3, 6.4), (10, 30.0), (5000, 30.0)])
def test_backoff_is_exponential_with_full_jitter(attempt: int, ceiling: float) -> None:
    assert backoff(attempt, 0.8, 0.0, None) == 0.0
    assert backoff(attempt, 0.8, 0.5, None) == pytest.approx(ceiling / 2)


def test_retry_after_is_never_undercut() -> None:
    assert backoff(0, 0.8, 0.0, 7.0) == 7.0
    assert backoff(0, 0.8, 0.5, 7.0) == pytest.approx(7.4)
