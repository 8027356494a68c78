"""What a gateway that died did not tell is unknown, not zero: the figures of a leg may be ``NULL``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_FIGURES = (
    *("prompt_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "audio_tokens"),
    *("delivered", "status", "retries", "bytes_in", "bytes_out"),
)


def upgrade() -> None:
    # On SQLite the table is written anew, and its triggers go with it. Rows that are there keep what they say: the
    # audit chain has sealed it.
    with op.batch_alter_table("legs") as legs:
        for name in _FIGURES:
            legs.alter_column(name, nullable=True)
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
_TOKENS = ("prompt_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


def _change(row: str, sign: str, *, hour: str, tags: str) -> str:
    """As before, and what is unknown is in no sum."""
    sums = ", ".join(f"{name} = totals.{name} {sign} excluded.{name}" for name in _SUMS)
    tokens = ", ".join(f"COALESCE({row}.{name}, 0)" for name in _TOKENS)
    return f"""INSERT INTO totals SELECT dimension, value, {row}.reason, {hour}, {row}.final,
  {tokens}, COALESCE({row}.cost, 0), {row}.final * {row}.estimated,
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


def _on_postgresql(event: str, row: str, sign: str) -> str:
    hour, tags = f"FLOOR({row}.ended_at / 3600)::bigint", f"jsonb_each_text({row}.tags::jsonb)"
    change = _change(row, sign, hour=hour, tags=tags)
    return (
        f"CREATE OR REPLACE FUNCTION totals_{event}() RETURNS trigger LANGUAGE plpgsql "
        f"AS $$ BEGIN {change} RETURN NULL; END $$"
    )


_SQLITE = (_on_sqlite("insert", "NEW", "+"), _on_sqlite("delete", "OLD", "-"))
_POSTGRESQL = (_on_postgresql("insert", "NEW", "+"), _on_postgresql("delete", "OLD", "-"))
