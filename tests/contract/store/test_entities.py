"""What an organisation configures, on SQLite and on PostgreSQL: one repository for all kinds."""

from typing import Any

import pytest
from omni_auth.adapters.store.changes import Outbox
from omni_auth.adapters.store.entities import Repository
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.domain.entities import DEFAULT_ORGANISATION, KINDS, Entity, as_tree
from omni_wire.errors import InvalidRequest

from tests.unit.auth.test_compilation import stored_key

ACME = "o-acme"
PROVIDER = {"id": "acme", "format": "openai.chat", "base_url": "https://api.example.com/v1"}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "organisations": {"name": "acme", "title": "ACME Inc."},
    "teams": {"name": "core"},
    "users": {"name": "ann@example.com"},
    "memberships": {"role": "lead"},
    "tags": {"name": "batch"},
    "proxies": {"name": "office", "url": "http://proxy.example.com:3128", "credentials": {"env": "OFFICE_PROXY"}},
    "providers": PROVIDER,
    "accounts": {"name": "main", "api_key": {"env": "ACME_KEY"}},
    "combos": {"name": "best", "targets": ["acme/large"]},
    "aliases": {"name": "gpt", "target": "acme/large"},
    "limits": {"name": "monthly", "budget": {"usd": 25}},
    "prices": {"model": "large", "input": 1.25, "output": 10},
    "settings": {"routing": {"retries": 2}},
}
RELATIONS = {
    "memberships": {"team": "teams-1", "user": "users-1"},
    "accounts": {"provider": "providers-1"},
    "limits": {"team": "teams-1"},
    "prices": {"provider": "providers-1"},
}


def entity(kind: str, number: int = 1, **changed: Any) -> Entity:
    own = ACME if kind == "organisations" else f"{kind}-{number}"
    fields = {
        "kind": kind, "id": own, "organisation": ACME, "relations": RELATIONS.get(kind, {}),
        "document": as_tree(DOCUMENTS[kind]),
    }  # fmt: skip
    return Entity(**fields | changed)


@pytest.fixture
def filled(store: SqlStore) -> SqlStore:
    """One of each kind."""
    for kind in KINDS:
        Repository(store.database, kind).put(entity(kind), expected=0, now=1000, actor="ann")
    return store


def at(store: SqlStore, kind: str) -> Repository:
    return Repository(store.database, kind)


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_kind_is_kept_changed_and_removed(filled: SqlStore, kind: str) -> None:
    there, own = at(filled, kind), entity(kind)
    held = there.get(ACME, own.id)
    assert held is not None
    assert (held.document, held.relations, held.version, held.created) == (own.document, own.relations, 1, 1000)
    assert there.put(own, expected=1, now=2000, actor="ann") == held, "the same again is no change"
    changed = entity(kind, managed_by="file")
    second = there.put(changed, expected=1, now=3000, actor="ann")
    assert (second.version, second.created, second.updated, second.managed_by) == (2, 1000, 3000, "file")
    assert there.get(ACME, own.id) == second
    assert there.get(DEFAULT_ORGANISATION, own.id) is None, "another organisation's is not answered"
    assert there.list(ACME).items == (second,)
    for other in reversed(KINDS):  # what refers to something goes first
        at(filled, other).delete(ACME, entity(other).id, expected=None, now=4000, actor="ann")
    assert there.get(ACME, own.id) is None
    assert not there.delete(ACME, own.id, expected=None, now=5000, actor="ann")


def test_a_lost_update_is_refused(filled: SqlStore) -> None:
    teams = at(filled, "teams")
    teams.put(entity("teams", managed_by="file"), expected=1, now=2000, actor="ann")
    for expected, told in ((1, "is at version 2"), (0, "is at version 2"), (7, "is at version 2")):
        with pytest.raises(InvalidRequest, match=told) as refused:
            teams.put(entity("teams"), expected=expected, now=3000, actor="ann")
        assert refused.value.status == 412
        with pytest.raises(InvalidRequest, match=told):
            teams.delete(ACME, "teams-1", expected=expected, now=3000, actor="ann")
    with pytest.raises(InvalidRequest, match="is not there, not at 1"):
        teams.put(entity("teams", 2, document={"name": "two"}), expected=1, now=3000, actor="ann")
    assert teams.list(ACME).items[0].version == 2


def test_pages_follow_each_other_without_loss_or_repetition(filled: SqlStore) -> None:
    tags = at(filled, "tags")
    for number in range(2, 8):
        tags.put(entity("tags", number, document={"name": f"t{number}"}), expected=0, now=number, actor="ann")
    seen, after = [], ""
    while True:
        page = tags.list(ACME, after=after, limit=3)
        seen += [one.id for one in page.items]
        assert len(page.items) <= 3
        after = page.next
        if not after:
            break
    assert seen == [f"tags-{number}" for number in range(1, 8)]
    assert [one.id for one in at(filled, "accounts").list(ACME, provider="providers-1").items] == ["accounts-1"]
    assert at(filled, "accounts").list(ACME, provider="another").items == ()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "organisations"])
def test_a_name_is_unique_where_it_belongs(filled: SqlStore, kind: str) -> None:
    with pytest.raises(InvalidRequest, match="already") as refused:
        at(filled, kind).put(entity(kind, 2), expected=0, now=2000, actor="ann")
    assert (refused.value.status, refused.value.param) == (409, KINDS[kind].label or None)


def test_the_same_name_may_be_had_in_another_place(filled: SqlStore) -> None:
    document = as_tree({**PROVIDER, "id": "other"})
    at(filled, "providers").put(entity("providers", 2, document=document), expected=0, now=2000, actor="ann")
    for kind, relations in (("accounts", {"provider": "providers-2"}), ("prices", {}), ("limits", {"user": "users-1"})):
        at(filled, kind).put(entity(kind, 2, relations=relations), expected=0, now=2000, actor="ann")


def test_relations_stay_within_the_organisation(filled: SqlStore) -> None:
    other = Entity(kind="organisations", id="o-2", organisation="o-2", document={"name": "two"})
    at(filled, "organisations").put(other, expected=0, now=2000, actor="ann")
    stranger = entity("accounts", 2, organisation="o-2")
    with pytest.raises(InvalidRequest, match="there is no 'providers-1'") as refused:
        at(filled, "accounts").put(stranger, expected=0, now=2000, actor="ann")
    assert refused.value.param == "provider"
    with pytest.raises(InvalidRequest, match="another team has it"):
        at(filled, "teams").put(entity("teams", organisation="o-2"), expected=None, now=2000, actor="ann")
    with pytest.raises(InvalidRequest, match="no such organisation"):
        at(filled, "teams").put(entity("teams", 3, organisation="none"), expected=None, now=2000, actor="ann")


def test_a_limit_may_be_a_keys(filled: SqlStore) -> None:
    filled.insert(stored_key())
    limit = Entity(
        kind="limits",
        id="l",
        organisation=DEFAULT_ORGANISATION,
        document={"name": "a", "requests_per_minute": "5"},
        relations={"key": "api-1"},
    )
    assert at(filled, "limits").put(limit, expected=0, now=1, actor="ann").relations == {"key": "api-1"}


@pytest.mark.parametrize(("kind", "user"), [("organisations", "teams"), ("providers", "accounts"), ("teams", "limits")])
def test_what_is_in_use_is_not_removed(filled: SqlStore, kind: str, user: str) -> None:
    if kind == "teams":
        at(filled, "memberships").delete(ACME, "memberships-1", expected=1, now=2000, actor="ann")
    with pytest.raises(InvalidRequest, match="still has") as refused:
        at(filled, kind).delete(ACME, entity(kind).id, expected=1, now=2000, actor="ann")
    assert refused.value.status == 409
    assert at(filled, user).get(ACME, f"{user}-1") is not None


def test_every_change_and_no_other_is_in_the_outbox(filled: SqlStore) -> None:
    outbox = Outbox(filled.database)
    last = outbox.after(0)[-1].seq
    tags = at(filled, "tags")
    tags.put(entity("tags"), expected=None, now=2000, actor="ann")
    tags.put(entity("tags", document={"name": "renamed"}), expected=None, now=3000, actor="ann")
    with pytest.raises(InvalidRequest):
        tags.put(entity("tags"), expected=1, now=4000, actor="ann")
    tags.delete(ACME, "tags-1", expected=2, now=5000, actor="ann")
    assert [(one.at, one.organisation, one.kind, one.target, one.action) for one in outbox.after(last)] == [
        (3000, ACME, "tags", "tags-1", "update"),
        (5000, ACME, "tags", "tags-1", "delete"),
    ]
