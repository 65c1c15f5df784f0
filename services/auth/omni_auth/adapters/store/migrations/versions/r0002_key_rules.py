"""Keys may have rules of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("keys", sa.Column("rules", sa.Text, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("keys", "rules")
