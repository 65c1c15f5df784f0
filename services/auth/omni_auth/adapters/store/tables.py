"""Every table of auth, described once. A new database is made from this; an old one is brought here by ``migrations``,
and a test holds the two to each other.

Times called ``…_at`` are epoch milliseconds. Documents are JSON text, so that what is read is byte for byte what was
written. What N−1 wrote must be readable and what it writes must be accepted: see the README beside the migrations.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
    text,
)

from omni_auth.adapters.store import append_only, numbered_once, past_digests
from omni_auth.domain.entities import KINDS, MANAGERS, Kind

# One type for numbers: SQLite's own integers have 64 bits whatever they are called.
Number = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

publication = Table(
    "publication",
    metadata,
    Column("one", Number, primary_key=True, autoincrement=False),
    Column("revision", Number, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("created", Number, nullable=False),
    CheckConstraint("one = 1", name="one"),
)

# What a field of ``StoredKey`` has no column for is in ``document``: a new field needs no migration until something is
# asked or unique by it. ``created`` and ``revoked`` are epoch seconds. Defaults are for what earlier versions insert.
keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("models", Text, nullable=False),
    Column("requests_per_minute", Number, nullable=False),
    Column("budget_nano_usd", Number, nullable=False),
    Column("budget_window", Text, nullable=False),
    Column("created", Number, nullable=False),
    Column("hint", Text, nullable=False),
    Column("revoked", Number),
    Column("rules", Text, nullable=False, server_default="{}"),
    Column("organisation", Text, ForeignKey("organisations.id"), nullable=False, server_default="default"),
    Column("version", Number, nullable=False, server_default="1"),
    Column("updated_at", Number, nullable=False, server_default="0"),
    Column("managed_by", Text, nullable=False, server_default="api"),
    Column("document", Text, nullable=False, server_default="{}"),
    Column("team", Text, ForeignKey("teams.id")),
    Column("user", Text, ForeignKey("users.id")),
    Index(
        "keys_name",
        "organisation",
        "name",
        unique=True,
        sqlite_where=text("revoked IS NULL"),
        postgresql_where=text("revoked IS NULL"),
    ),
)

# Digests that were a key's and that another one has replaced, with the key's id: none of them comes back. The database
# writes them itself, and nothing removes one.
past_secrets = Table(
    "past_secrets",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("key", Text, nullable=False),
)

# What changed, in the order of commits: written with the change, in one transaction.
outbox = Table(
    "outbox",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("at", Number, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("action", Text, nullable=False),
)

# Who did what, chained by hashes (``omni_auth.domain.audit``). Rows are never changed.
audit = Table(
    "audit",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("at", Number, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)


# What is sealed for an account (``omni_auth.domain.vault``), by the account's id: no reference, for the account's
# deletion takes it along. ``kek`` is the key that the data key is wrapped with.
credentials = Table(
    "credentials",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organisation", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("sealed_at", Number, nullable=False),
    Column("kek", Text, nullable=False, index=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

# People who log in, each a user of the configuration with that id. No reference: a version that knows nothing of logins
# deletes users, and a login without one is nobody's. What has no column is in ``document``.
people = Table(
    "people",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organisation", Text, nullable=False, index=True),
    Column("role", Text, nullable=False),
    Column("disabled", Number, nullable=False),
    Column("password", Text, nullable=False),
    Column("subject", Text),
    Column("document", Text, nullable=False),
    Column("created_at", Number, nullable=False),
    Column("updated_at", Number, nullable=False),
    Index("people_subject", "subject", unique=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("id", Text, nullable=False),
    Column("login", Text, ForeignKey("people.id"), nullable=False, index=True),
    Column("created_at", Number, nullable=False),
    Column("seen_at", Number, nullable=False),
    Column("expires_at", Number, nullable=False),
    Column("ended_at", Number, nullable=False),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
)

# Good for one use; also what is under way with an OpenID provider.
one_time_tokens = Table(
    "one_time_tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("login", Text, ForeignKey("people.id")),
    Column("expires_at", Number, nullable=False),
    Column("document", Text, nullable=False),
)

login_tries = Table(
    "login_tries",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("count", Number, nullable=False),
    Column("at", Number, nullable=False),
    Index("login_tries_at", "at"),
)


# Logins at providers; their tokens are sealed among the credentials, under "login:" and the id. ``version`` is of the
# tokens, and none comes twice. Who renews them holds a lease until ``lease_until`` by the database's clock, under a
# fence that grows with each; ``begun_at`` is when tokens were asked for that have not been kept yet, 0 for none.
provider_logins = Table(
    "provider_logins",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("version", Number, nullable=False),
    Column("fence", Number, nullable=False),
    Column("lease_until", Number, nullable=False),
    Column("begun_at", Number, nullable=False),
    Column("ends_at", Number, nullable=False),
    Column("renewed_at", Number, nullable=False),
    Column("connected_at", Number, nullable=False),
)

# Logins under way; what they need to be finished is sealed among the credentials, under "login_flow:" and the id.
provider_login_flows = Table(
    "provider_login_flows",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ends_at", Number, nullable=False),
    Column("next_at", Number, nullable=False),
)


@event.listens_for(audit, "after_create")
def _for_good(target: Table, connection: Connection, **_: Any) -> None:
    append_only.make(connection, target.name)
    numbered_once.make(connection, target.name)


@event.listens_for(metadata, "after_create")
def _keeping_digests(target: MetaData, connection: Connection, **_: Any) -> None:
    past_digests.make(connection)


def _entity(kind: Kind) -> Table:
    """``label`` is what it is called ("" where there is one at most), ``place`` what it belongs to, in one word."""
    return Table(
        kind.name,
        metadata,
        Column("id", Text, primary_key=True),
        Column("organisation", Text, ForeignKey("organisations.id"), nullable=False),
        Column("place", Text, nullable=False),
        Column("label", Text, nullable=False),
        Column("version", Number, nullable=False),
        Column("created_at", Number, nullable=False),
        Column("updated_at", Number, nullable=False),
        Column("managed_by", Text, nullable=False),
        Column("document", Text, nullable=False),
        Column("source", Text),
        *(
            Column(name, Text, ForeignKey(f"{of}.id"), nullable=name in kind.optional, index=True)
            for name, of in kind.relations.items()
        ),
        CheckConstraint(f"managed_by IN {MANAGERS}", name="managed_by"),
        Index(f"{kind.name}_label", "organisation", "place", "label", unique=True),
    )


ENTITIES = {kind.name: _entity(kind) for kind in KINDS.values()}
