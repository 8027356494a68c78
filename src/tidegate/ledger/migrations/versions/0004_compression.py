"""Keys whose answers are compressed, and keys whose events hide their sizes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for name in ("compression", "obfuscation"):
        op.add_column("keys", sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))
