"""Proxies, as any other object of the configuration."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "proxies",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("organisation", sa.Text, sa.ForeignKey("organisations.id"), nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("version", Number, nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.Column("updated_at", Number, nullable=False),
        sa.Column("managed_by", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("source", sa.Text),
        sa.CheckConstraint("managed_by IN ('api', 'file')", name="managed_by"),
    )
    op.create_index("proxies_label", "proxies", ["organisation", "place", "label"], unique=True)


def downgrade() -> None:
    op.drop_index("proxies_label", "proxies")
    op.drop_table("proxies")
