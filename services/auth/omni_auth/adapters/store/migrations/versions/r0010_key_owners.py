"""Whose a key is: a team's, a user's, or neither's."""

from alembic import op

revision = "0010"
down_revision = "0009"

OWNERS = {"team": "teams", "user": "users"}


def upgrade() -> None:
    for column, of in OWNERS.items():
        # In words that both databases know: see revision 0003.
        op.execute(f'ALTER TABLE keys ADD COLUMN "{column}" TEXT CONSTRAINT fk_keys_{column} REFERENCES {of} (id)')


def downgrade() -> None:
    for column in OWNERS:
        op.drop_column("keys", column)
