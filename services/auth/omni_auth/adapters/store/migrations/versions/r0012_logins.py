"""Logins at providers, and those under way."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "provider_logins",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("kind", "subject", "label", "state", "reason")),
        *(
            sa.Column(name, Number, nullable=False)
            for name in ("version", "fence", "lease_until", "begun_at", "ends_at", "renewed_at", "connected_at")
        ),
    )
    op.create_table(
        "provider_login_flows",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("ends_at", Number, nullable=False),
        sa.Column("next_at", Number, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("provider_login_flows")
    op.drop_table("provider_logins")
    op.execute("DELETE FROM credentials WHERE id LIKE 'login%'")
