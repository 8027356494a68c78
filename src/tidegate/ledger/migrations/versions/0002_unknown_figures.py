"""What a gateway that died did not tell is unknown, not zero: the figures of a leg may be ``NULL``. Totals are kept by
whoever writes legs, many at once, and no longer by a trigger for each.
"""

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
    sqlite = op.get_bind().dialect.name == "sqlite"
    # A leg is found by its id, which begins with its stream's.
    op.drop_index("legs_stream", "legs")
    # On SQLite the table is written anew, and its triggers go with it. Rows that are there keep what they say: the
    # audit chain has sealed it.
    with op.batch_alter_table("legs") as legs:
        for name in _FIGURES:
            legs.alter_column(name, nullable=True)
    if not sqlite:
        for event in ("insert", "delete"):
            op.execute(sa.text(f"DROP TRIGGER totals_{event} ON legs"))
            op.execute(sa.text(f"DROP FUNCTION totals_{event}()"))
