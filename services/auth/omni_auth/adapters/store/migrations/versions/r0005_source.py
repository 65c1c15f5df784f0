"""Which file manages an entity."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

TABLES = (
    "organisations", "teams", "users", "memberships", "tags", "providers", "accounts", "combos", "aliases", "limits",
    "prices", "settings",
)  # fmt: skip


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("source", sa.Text))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "source")
