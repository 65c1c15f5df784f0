"""Every digest that was a key's and that another one has replaced: a file that is applied must not bring it back."""

import base64
import json

import sqlalchemy as sa
from alembic import op

from omni_auth.adapters.store import past_digests

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    past = op.create_table(
        "past_secrets",
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_past_secrets"),
    )
    past_digests.make(op.get_bind())
    # Of what was replaced before, the keys' documents know what was good for a while longer.
    known: dict[bytes, str] = {}
    for key, document in op.get_bind().execute(sa.text("SELECT id, document FROM keys ORDER BY id")):
        known |= {base64.b64decode(older["digest"]): key for older in json.loads(document).get("older", ())}
    if known:
        op.bulk_insert(past, [{"digest": digest, "key": key} for digest, key in known.items()])


def downgrade() -> None:
    past_digests.unmake(op.get_bind())
    op.drop_table("past_secrets")
