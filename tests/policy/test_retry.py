"""policy/retry.py: when a try is worth repeating, and how long to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate import errors
from tidegate.policy.retry import backoff, needs_other_upstream, retry_after_of, retryable

NOON = 1445385600.0 + 12 * 3600  # Wed, 21 Oct 2015 12:00:00 GMT


class TestRetryable:
    @pytest.mark.parametrize(
        "error",
        [
            errors.ConnectFailed("x"),
            errors.NameNotResolved("x"),
            errors.ConnectTimeout("x"),
            errors.TlsFailed("x"),
            errors.StaleConnection("x"),
            errors.UpstreamFailed("x"),
            errors.UpstreamCut("x"),
            errors.FirstTokenTimeout("x"),
            errors.Overloaded("x"),
            errors.UpstreamRefused("x", status=408),
            errors.UpstreamRefused("x", status=409),
            errors.UpstreamRefused("x", status=429),
            errors.UpstreamRefused("x", status=401, retryable=True),
        ],
        ids=lambda error: f"{type(error).__name__}-{error.status}",
    )
    def test_what_may_pass_is_tried_again(self, error: errors.TidegateError) -> None:
        assert retryable(error)

    @pytest.mark.parametrize(
        "error",
        [
            errors.UpstreamRefused("x"),
            errors.UpstreamRefused("x", status=401),
            errors.UpstreamRefused("x", status=404),
            errors.InvalidRequest("x"),
            errors.Unauthorized("x"),
            errors.IdleTimeout("x"),
            errors.TotalTimeout("x"),
            errors.Draining("x"),
            errors.InternalError("x"),
            errors.Cancelled("x"),
            errors.UpstreamFailed("x", retryable=False),
        ],
        ids=lambda error: f"{type(error).__name__}-{error.status}",
    )
    def test_what_would_fail_again_is_not(self, error: errors.TidegateError) -> None:
        assert not retryable(error)

    def test_a_bad_certificate_or_a_full_pool_is_no_better_the_second_time(self) -> None:
        assert needs_other_upstream(errors.TlsFailed("x"))
        assert needs_other_upstream(errors.Overloaded("x"))
        assert not needs_other_upstream(errors.ConnectionRefused("x"))


class TestBackoff:
    def test_the_ceiling_doubles_up_to_the_cap(self) -> None:
        assert [backoff(attempt, 0.8, 1.0) for attempt in range(7)] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]

    @given(st.integers(0, 10**6), st.floats(0, 100), st.floats(0, 1, exclude_max=True))
    def test_the_wait_is_never_above_the_cap_nor_below_0(self, attempt: int, base: float, rand: float) -> None:
        assert 0 <= backoff(attempt, base, rand, cap=10) <= 10

    def test_full_jitter_reaches_down_to_0(self) -> None:
        assert backoff(5, 0.8, 0.0) == 0.0

    @given(st.floats(0, 1000), st.floats(0, 1, exclude_max=True))
    def test_the_upstreams_own_wish_is_never_undercut(self, wish: float, rand: float) -> None:
        assert wish <= backoff(0, 0.8, rand, retry_after=wish) <= wish + 0.8


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ([], None),
            ([(b"retry-after", b"2")], 2.0),
            ([(b"retry-after-ms", b"250"), (b"retry-after", b"2")], 0.25),
            ([(b"retry-after", b"2"), (b"retry-after-ms", b"soon")], 2.0),
            ([(b"retry-after", b"\xff")], None),
            ([(b"content-type", b"2")], None),
        ],
    )
    def test_the_finer_header_wins(self, headers: list[tuple[bytes, bytes]], seconds: float | None) -> None:
        assert retry_after_of(headers, now_epoch=NOON) == seconds
