"""What readers' own pages reported."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "seen",
        sa.Column("leg_id", sa.String(80), primary_key=True),
        sa.Column("ended_at", sa.Float, nullable=False, index=True),
        sa.Column("reader_end", sa.String(16)),
        sa.Column("perceived", sa.Float),
    )
