"""No entry of the audit log is replaced by another one of its number."""

from alembic import op

from omni_auth.adapters.store import numbered_once

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    numbered_once.make(op.get_bind(), "audit")


def downgrade() -> None:
    numbered_once.unmake(op.get_bind(), "audit")
