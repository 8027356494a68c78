"""The tables, as SQLAlchemy Core knows them. What makes them is ``migrations/``; a test holds the two together.

Times are Unix seconds. Money is whole nano-dollars: a token of a small model costs less than a micro-dollar.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, false

__all__ = ["audit", "begins", "instances", "keys", "legs", "meta", "metadata", "seen", "texts", "totals"]

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Single facts by name. ``keys.version``: counts changes of ``keys``, so that a running gateway notices one.
``audit.head``: number and hash of the last audit record.
"""

keys = Table(
    "keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", String(128), nullable=False, unique=True),
    Column("previous_digest", String(128), index=True),
    Column("previous_until", Float),
    Column("tags", Text, nullable=False),
    Column("models", Text, nullable=False),
    Column("rpm", BigInteger),
    Column("tpm", BigInteger),
    Column("concurrent", BigInteger),
    Column("budget_micros", BigInteger),
    Column("budget_period", String(8)),
    Column("on_disconnect", String(16), nullable=False),
    Column("safety", Text, nullable=False),
    Column("admin", Boolean, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("compression", Boolean, nullable=False, server_default=false()),
    Column("obfuscation", Boolean, nullable=False, server_default=false()),
)
"""Virtual keys, by the keyed hash of each. ``tags`` is a JSON object, ``models`` a JSON list of globs. A rotated key's
old digest is valid until ``previous_until``.
"""

legs = Table(
    "legs",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("stream_id", String(64), nullable=False),
    Column("leg", Integer, nullable=False),
    Column("final", Integer, nullable=False),
    Column("instance", String(64), nullable=False),
    Column("key_id", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("served_model", Text, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("framing", String(8), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False),
    Column("ttft", Float),
    Column("tpot", Float),
    Column("prompt_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("audio_tokens", BigInteger),
    Column("delivered", BigInteger),
    Column("estimated", Integer, nullable=False),
    Column("cost", BigInteger),
    Column("reason", String(32), nullable=False),
    Column("finish_reason", Text),
    Column("status", Integer),
    Column("error_code", Text),
    Column("retries", Integer),
    Column("bytes_in", BigInteger),
    Column("bytes_out", BigInteger),
    Column("safety", Text),
    Column("validation", Text),
    Index("legs_ended", "ended_at"),
)
"""One row for each leg of a stream: each try that was made for it. ``id`` is the stream's, a slash, and the leg's
number from 0; the last leg is the ``final`` one (1), whose reason is the stream's. ``delivered`` is deltas that reached
the reader; ``cost`` is ``NULL`` where no price is known. ``tags`` is a JSON object, ``safety`` counts hits by rule,
``validation`` is the verdict on the whole answer, as JSON.
Figures that nobody knows, as of a stream whose gateway died (``gateway_crash``), are ``NULL``.
"""

begins = Table(
    "begins",
    metadata,
    Column("stream_id", String(64), primary_key=True),
    Column("instance", String(64), nullable=False, index=True),
    Column("key_id", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("framing", String(8), nullable=False),
    Column("started_at", Float, nullable=False),
)
"""Streams that have begun and have no row in ``legs`` yet."""

instances = Table(
    "instances",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("host", Text, nullable=False),
    Column("lease_until", Float, nullable=False),
)
"""Gateways that write here, each with the time until which it is taken for alive."""

seen = Table(
    "seen",
    metadata,
    Column("leg_id", String(80), primary_key=True),
    Column("ended_at", Float, nullable=False, index=True),
    Column("reader_end", String(16)),
    Column("perceived", Float),
)
"""What readers' own pages reported of streams, by their final legs: how it ended there, and the seconds from submit to
the first text painted. ``NULL``: the page did not say. Apart from ``legs``, whose rows the audit chain has sealed.
"""

texts = Table(
    "texts",
    metadata,
    Column("stream_id", String(64), primary_key=True),
    Column("at", Float, nullable=False, index=True),
    Column("prompt", Text, nullable=False),
    Column("answer", Text, nullable=False),
)
"""Prompts and answers, only with ``store_text``."""

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", String(80), nullable=False, unique=True),
    Column("at", Float, nullable=False),
    Column("action", String(64), nullable=False),
    Column("actor", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)
"""The audit chain (``audit.py``)."""

totals = Table(
    "totals",
    metadata,
    Column("dimension", String(8), primary_key=True),
    Column("value", Text, primary_key=True),
    Column("reason", String(32), primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    Column("streams", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
    Column("unpriced", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Sums over ``legs`` by hour (``ended_at`` // 3600) and, one at a time, by everything (``all``), ``key``, ``model`` and
each ``tag`` (``name=value``). They are changed in the transaction in which legs come and go (``sums.py``). The primary
key is the order in which reports group, which is why a report over a million legs needs no sorting.
"""
