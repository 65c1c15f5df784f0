"""Keys, the pepper and the last publication: what databases had that no revision number was written into."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("models", sa.Text, nullable=False),
        sa.Column("requests_per_minute", Number, nullable=False),
        sa.Column("budget_nano_usd", Number, nullable=False),
        sa.Column("budget_window", sa.Text, nullable=False),
        sa.Column("created", Number, nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("revoked", Number),
    )
    in_force = sa.text("revoked IS NULL")
    op.create_index("keys_name", "keys", ["name"], unique=True, sqlite_where=in_force, postgresql_where=in_force)
    op.create_table(
        "publication",
        sa.Column("one", Number, sa.CheckConstraint("one = 1", name="one"), primary_key=True, autoincrement=False),
        sa.Column("revision", Number, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("created", Number, nullable=False),
    )


def downgrade() -> None:
    for table in ("publication", "keys", "meta"):
        op.drop_table(table)
