"""Which documents an entity may have, and where the database is."""

import pytest
from omni_auth.adapters.store.location import PASSWORD_FILE, URL, locate, store_path
from omni_auth.domain.entities import KINDS, Entity, as_tree, check, same, typed
from omni_auth.domain.schema import Config
from omni_core.redaction import redact
from omni_wire.errors import DependencyUnavailable, InvalidRequest


def entity(kind, document, **fields):
    return Entity(kind=kind, id="1", organisation="o", document=as_tree(document), **fields)


def test_json_and_the_file_give_the_same_document():
    provider = {
        "id": "acme", "format": "openai.chat", "base_url": "https://a.example/v1", "allow_private_address": True,
        "models": [{"id": "large", "context": 128000, "price": {"input": 1.25, "output": 10}}],
    }  # fmt: skip
    tree = as_tree(provider)
    check(entity("providers", provider))
    assert tree["models"] == [{"id": "large", "context": "128000", "price": {"input": "1.25", "output": "10"}}]
    whole = Config.model_validate({"providers": [{**tree, "accounts": [{"name": "a", "api_key": "none"}]}]})
    assert whole.providers[0].models[0].price.input == 1_250_000_000


@pytest.mark.parametrize(
    ("kind", "spelt", "told"),
    [
        (
            "providers",
            {
                "id": "1", "format": "openai.chat", "base_url": "https://a.example/v1/", "allow_private_address": "on",
                "models": [
                    {"id": "2", "context": "128_000", "reasons": "No", "price": {"input": "1.250", "output": "10"}},
                ],
                "rules": {"sanitize": "yes", "clamp": "on", "keep_alive": "2.5", "thinking": {"budget": "512"}},
            },
            {
                "id": "1", "format": "openai.chat", "base_url": "https://a.example/v1/", "allow_private_address": True,
                "models": [{"id": "2", "context": 128_000, "reasons": False, "price": {"input": 1.25, "output": 10}}],
                "rules": {"sanitize": True, "clamp": "on", "keep_alive": 2.5, "thinking": {"budget": 512}},
            },
        ),
        (
            "settings",
            {
                "server": {"port": "8080", "trusted_proxies": ["10.0.0.0/8"]}, "rules": {"keep_alive": "off"},
                "routing": {"breaker": "off", "retries": "2", "timeouts": {"idle": "30"}, "cache": None},
            },
            {
                "server": {"port": 8080, "trusted_proxies": ["10.0.0.0/8"]}, "rules": {"keep_alive": "off"},
                "routing": {"breaker": False, "retries": 2, "timeouts": {"idle": 30}, "cache": None},
            },
        ),
        ("accounts", {"name": "1", "api_key": {"env": "ON"}}, {"name": "1", "api_key": {"env": "ON"}}),
        ("accounts", {"name": "true", "api_key": "none"}, {"name": "true", "api_key": "none"}),
        ("prices", {"model": "on", "input": "0.000000001", "output": "1e2"},
         {"model": "on", "input": 1e-9, "output": 100}),
    ],
)  # fmt: skip
def test_a_document_is_typed_as_its_section_means_it_and_says_the_same_as_before(kind, spelt, told):
    assert repr(typed(kind, spelt)).replace("100.0", "100") == repr(told)
    assert same(kind, as_tree(typed(kind, spelt)), spelt)
    assert typed(kind, as_tree(told)) == told


def test_what_its_section_does_not_take_stays_as_it_is():
    wrong = {"name": "a", "items": {"values": "1", "keys": ["on", None]}}
    assert typed("tags", wrong) == wrong


@pytest.mark.parametrize(
    ("kind", "document", "relations", "told"),
    [
        ("teams", {}, {}, "name: is required"),
        ("teams", {"name": "a b"}, {}, "name: must be a name"),
        ("teams", {"name": "a", "colour": "red"}, {}, "colour: unknown key"),
        ("users", {"name": "ann\x00"}, {}, "name: must not have control characters"),
        ("accounts", {"name": "a", "api_key": "none"}, {}, "provider: is required"),
        ("accounts", {"name": "a", "api_key": {"value": "hunter2-hunter2"}}, {"provider": "p"}, "api_key: a secret"),
        ("providers", {"id": "a", "format": "openai.chat", "base_url": "ftp://a"}, {}, "base_url: must be"),
        (
            "providers",
            {"id": "a", "format": "openai.chat", "base_url": "https://a", "accounts": []},
            {},
            "accounts: un",
        ),
        ("limits", {"name": "a", "budget": {"usd": -1}}, {}, "budget.usd: must be"),
        ("prices", {"model": "m", "input": "free", "output": 1}, {}, "input: must be"),
        ("settings", {"routing": {"retries": 99}}, {}, "routing.retries: must be"),
        ("tags", {"name": "a"}, {"team": "t"}, "team: a tag belongs to no such thing"),
    ],
)
def test_a_wrong_field_is_named(kind, document, relations, told):
    with pytest.raises(InvalidRequest) as refused:
        check(entity(kind, document, relations=relations))
    assert refused.value.message.startswith(told)
    assert refused.value.param == told.partition(":")[0]
    assert "hunter2" not in refused.value.message


def test_only_the_file_and_the_api_manage():
    with pytest.raises(InvalidRequest, match="managed_by"):
        check(entity("teams", {"name": "a"}, managed_by="nobody"))


def test_every_kind_refers_to_kinds_that_come_before_it():
    seen = {"keys"}
    for kind in KINDS.values():
        assert set(kind.relations.values()) <= seen
        seen.add(kind.name)


def test_the_database_is_a_file_unless_a_url_names_one(tmp_path):
    assert locate(tmp_path, {URL: " "}).path == store_path(tmp_path)
    given = locate(tmp_path, {URL: "postgres://omni:s3cret-word@db.example:5433/auth?sslmode=require"})
    assert (given.url, given.password) == ("postgresql://omni@db.example:5433/auth?sslmode=require", "s3cret-word")
    assert given.shown == "postgresql://db.example:5433/auth"
    assert "s3cret-word" not in redact("it is s3cret-word here")
    (tmp_path / "password").write_text("from a file\n")
    assert locate(tmp_path, {URL: "postgresql://omni@db/auth", PASSWORD_FILE: str(tmp_path / "password")}).password == (
        "from a file"
    )


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/d", "postgresql://u:hunter2@h:99999/d", "hunter2"])
def test_what_is_no_url_of_ours_is_refused_without_being_repeated(tmp_path, url):
    with pytest.raises(DependencyUnavailable, match=URL) as refused:
        locate(tmp_path, {URL: url})
    assert "hunter2" not in refused.value.message


def test_a_password_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DependencyUnavailable, match="cannot read"):
        locate(tmp_path, {URL: "postgresql://h/d", PASSWORD_FILE: str(tmp_path / "none")})
