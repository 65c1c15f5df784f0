"""People who log in: who they are, their sessions, one-time tokens, and how often was guessed."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("disabled", Number, nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.Column("updated_at", Number, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_people"),
    )
    op.create_index("people_organisation", "people", ["organisation"])
    op.create_index("people_subject", "people", ["subject"], unique=True)
    op.create_table(
        "sessions",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("login", sa.Text, nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.Column("seen_at", Number, nullable=False),
        sa.Column("expires_at", Number, nullable=False),
        sa.Column("ended_at", Number, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_sessions"),
        sa.ForeignKeyConstraint(["login"], ["people.id"], name="fk_sessions_login"),
    )
    op.create_index("sessions_login", "sessions", ["login"])
    op.create_table(
        "one_time_tokens",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("login", sa.Text),
        sa.Column("expires_at", Number, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_one_time_tokens"),
        sa.ForeignKeyConstraint(["login"], ["people.id"], name="fk_one_time_tokens_login"),
    )
    op.create_table(
        "login_tries",
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("count", Number, nullable=False),
        sa.Column("at", Number, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_login_tries"),
    )
    op.create_index("login_tries_at", "login_tries", ["at"])


def downgrade() -> None:
    op.drop_table("login_tries")
    op.drop_table("one_time_tokens")
    op.drop_table("sessions")
    op.drop_table("people")
    # What sealed a second factor says nothing to the version before, which takes every row for an account's.
    op.execute("DELETE FROM credentials WHERE id LIKE 'person:%'")
