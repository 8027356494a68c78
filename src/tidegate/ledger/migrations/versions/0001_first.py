"""Every table of the first version, and the trigger that keeps the totals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.String(128), nullable=False, unique=True),
        sa.Column("previous_digest", sa.String(128), index=True),
        sa.Column("previous_until", sa.Float),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("models", sa.Text, nullable=False),
        sa.Column("rpm", sa.BigInteger),
        sa.Column("tpm", sa.BigInteger),
        sa.Column("concurrent", sa.BigInteger),
        sa.Column("budget_micros", sa.BigInteger),
        sa.Column("budget_period", sa.String(8)),
        sa.Column("on_disconnect", sa.String(16), nullable=False),
        sa.Column("safety", sa.Text, nullable=False),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("revoked_at", sa.Float),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
    )
    op.create_table(
        "legs",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("stream_id", sa.String(64), nullable=False),
        sa.Column("leg", sa.Integer, nullable=False),
        sa.Column("final", sa.Integer, nullable=False),
        sa.Column("instance", sa.String(64), nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("served_model", sa.Text, nullable=False),
        sa.Column("upstream", sa.Text, nullable=False),
        sa.Column("framing", sa.String(8), nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float, nullable=False),
        sa.Column("ttft", sa.Float),
        sa.Column("tpot", sa.Float),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("audio_tokens", sa.BigInteger, nullable=False),
        sa.Column("delivered", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.Integer, nullable=False),
        sa.Column("cost", sa.BigInteger),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("finish_reason", sa.Text),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error_code", sa.Text),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("bytes_in", sa.BigInteger, nullable=False),
        sa.Column("bytes_out", sa.BigInteger, nullable=False),
        sa.Column("safety", sa.Text),
    )
    op.create_index("legs_stream", "legs", ["stream_id"])
    op.create_index("legs_ended", "legs", ["ended_at"])
    op.create_table(
        "begins",
        sa.Column("stream_id", sa.String(64), primary_key=True),
        sa.Column("instance", sa.String(64), nullable=False, index=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("framing", sa.String(8), nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
    )
    op.create_table(
        "instances",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("lease_until", sa.Float, nullable=False),
    )
    op.create_table(
        "texts",
        sa.Column("stream_id", sa.String(64), primary_key=True),
        sa.Column("at", sa.Float, nullable=False, index=True),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(80), nullable=False, unique=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "totals",
        sa.Column("dimension", sa.String(8), primary_key=True),
        sa.Column("value", sa.Text, primary_key=True),
        sa.Column("reason", sa.String(32), primary_key=True),
        sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("streams", sa.BigInteger, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.BigInteger, nullable=False),
        sa.Column("unpriced", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(sa.text(statement))


_SUMS = (
    "streams",
    "prompt_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost",
    "estimated",
    "unpriced",
)


def _change(row: str, sign: str, *, hour: str, tags: str) -> str:
    """Add (``+``) or take away (``-``) the leg ``row``. A stream is its final leg; what cost nothing because it brought
    nothing is not unpriced.
    """
    sums = ", ".join(f"{name} = totals.{name} {sign} excluded.{name}" for name in _SUMS)
    return f"""INSERT INTO totals SELECT dimension, value, {row}.reason, {hour}, {row}.final,
  {row}.prompt_tokens, {row}.cached_tokens, {row}.output_tokens, {row}.reasoning_tokens, COALESCE({row}.cost, 0),
  {row}.final * {row}.estimated,
  CASE WHEN {row}.cost IS NULL AND {row}.prompt_tokens + {row}.output_tokens > 0 THEN {row}.final ELSE 0 END
FROM (
  SELECT 'all' AS dimension, '' AS value
  UNION ALL SELECT 'key', {row}.key_id
  UNION ALL SELECT 'model', {row}.model
  UNION ALL SELECT 'tag', tag.key || '=' || tag.value FROM {tags} AS tag
) AS entries WHERE true
ON CONFLICT (dimension, value, reason, hour) DO UPDATE SET {sums};"""


def _on_sqlite(event: str, row: str, sign: str) -> str:
    change = _change(row, sign, hour=f"CAST({row}.ended_at / 3600 AS INTEGER)", tags=f"json_each({row}.tags)")
    return f"CREATE TRIGGER totals_{event} AFTER {event} ON legs BEGIN {change} END"


def _on_postgresql(event: str, row: str, sign: str) -> tuple[str, str]:
    change = _change(
        row, sign, hour=f"FLOOR({row}.ended_at / 3600)::bigint", tags=f"jsonb_each_text({row}.tags::jsonb)"
    )
    return (
        f"CREATE FUNCTION totals_{event}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {change} RETURN NULL; END $$",
        f"CREATE TRIGGER totals_{event} AFTER {event} ON legs FOR EACH ROW EXECUTE FUNCTION totals_{event}()",
    )


_SQLITE = (_on_sqlite("insert", "NEW", "+"), _on_sqlite("delete", "OLD", "-"))
_POSTGRESQL = (*_on_postgresql("insert", "NEW", "+"), *_on_postgresql("delete", "OLD", "-"))
