"""Organisations and all that is configured in them, and the outbox. Keys get an owner and a document."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# In the order of their references: what each belongs to, and whether it must.
ENTITIES: dict[str, Mapping[str, tuple[str, bool]]] = {
    "organisations": {},
    "teams": {},
    "users": {},
    "memberships": {"team": ("teams", True), "user": ("users", True)},
    "tags": {},
    "providers": {},
    "accounts": {"provider": ("providers", True)},
    "combos": {},
    "aliases": {},
    "limits": {"team": ("teams", False), "user": ("users", False), "key": ("keys", False)},
    "prices": {"provider": ("providers", False)},
    "settings": {},
}


def upgrade() -> None:
    for name, relations in ENTITIES.items():
        op.create_table(
            name,
            sa.Column("id", sa.Text, primary_key=True),
            sa.Column("organisation", sa.Text, sa.ForeignKey("organisations.id"), nullable=False),
            sa.Column("place", sa.Text, nullable=False),
            sa.Column("label", sa.Text, nullable=False),
            sa.Column("version", Number, nullable=False),
            sa.Column("created_at", Number, nullable=False),
            sa.Column("updated_at", Number, nullable=False),
            sa.Column("managed_by", sa.Text, nullable=False),
            sa.Column("document", sa.Text, nullable=False),
            *(
                sa.Column(column, sa.Text, sa.ForeignKey(f"{of}.id"), nullable=not needed)
                for column, (of, needed) in relations.items()
            ),
            sa.CheckConstraint("managed_by IN ('api', 'file')", name="managed_by"),
        )
        op.create_index(f"{name}_label", name, ["organisation", "place", "label"], unique=True)
        for column in relations:
            op.create_index(f"{name}_{column}", name, [column])
    op.execute(
        "INSERT INTO organisations VALUES "
        "('default', 'default', '', 'default', 1, 0, 0, 'api', '{\"name\":\"default\"}')"
    )
    op.create_table(
        "outbox",
        sa.Column("seq", Number, primary_key=True, autoincrement=False),
        sa.Column("at", Number, nullable=False),
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
    )
    # In words that both databases know: Alembic adds a reference apart from its column, which SQLite cannot.
    op.execute(
        "ALTER TABLE keys ADD COLUMN organisation TEXT DEFAULT 'default' NOT NULL "
        "CONSTRAINT fk_keys_organisation REFERENCES organisations (id)"
    )
    more: list[sa.Column[Any]] = [
        sa.Column("version", Number, nullable=False, server_default="1"),
        sa.Column("updated_at", Number, nullable=False, server_default="0"),
        sa.Column("managed_by", sa.Text, nullable=False, server_default="api"),
        sa.Column("document", sa.Text, nullable=False, server_default="{}"),
    ]
    for new in more:
        op.add_column("keys", new)


def downgrade() -> None:
    op.drop_table("outbox")
    for name in reversed(ENTITIES):
        if name != "organisations":
            op.drop_table(name)
    for added in ("organisation", "version", "updated_at", "managed_by", "document"):
        op.drop_column("keys", added)
    op.drop_table("organisations")
