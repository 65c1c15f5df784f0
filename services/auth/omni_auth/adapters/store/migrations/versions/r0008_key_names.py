"""Key names are each organisation's own: by their being taken nobody learns what another's are called."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_GOOD = sa.text("revoked IS NULL")


def upgrade() -> None:
    op.drop_index("keys_name", "keys")
    _index("organisation", "name")


def downgrade() -> None:
    # Of those that share a name, the platform's keeps it, else the first; ids tell the others apart.
    op.execute(
        "UPDATE keys SET name = name || '.' || id WHERE revoked IS NULL AND EXISTS ("
        "SELECT 1 FROM keys AS other WHERE other.revoked IS NULL AND other.name = keys.name AND other.id <> keys.id "
        "AND ((other.organisation = 'default' AND keys.organisation <> 'default') "
        "OR (keys.organisation <> 'default' AND other.organisation <> 'default' AND other.id < keys.id)))"
    )
    op.drop_index("keys_name", "keys")
    _index("name")


def _index(*columns: str) -> None:
    op.create_index("keys_name", "keys", list(columns), unique=True, sqlite_where=_GOOD, postgresql_where=_GOOD)
