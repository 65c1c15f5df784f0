"""Webhooks in the configuration: what is taken, what is refused, and that their secrets are auth's alone."""

import base64

import pytest
from omni_auth.domain import configuration, entities, exporting, merging, objects, planning, secrecy, whole
from omni_auth.domain.compilation import Compiled, compile_snapshot
from omni_auth.domain.configuration import Configuration
from omni_auth.domain.entities import Entity
from omni_auth.domain.objects import NOTHING, Held
from omni_auth.domain.problems import ConfigErrors
from omni_auth.domain.secrecy import SecretUnreadable
from omni_auth.domain.sections.base import SecretSource
from omni_catalogue.notify import Webhook
from omni_catalogue.snapshot import decode, encode
from omni_wire.errors import InvalidRequest

SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"
ENV = {"PAGER": SECRET, "SHORT": "whsec_AAAA"}
PAGER = {"name": "pager", "url": "https://hooks.example.org/in?a=b", "secret": {"env": "PAGER"}}
FILE = """
notify:
  webhooks:
    - {name: pager, url: "https://hooks.example.org/in?a=b", secret: {env: PAGER}}
    - {name: acme, url: "http://127.0.0.1:9/x", secret: {value: %s}, organisation: acme, percents: [90, 100],
       allow_private_address: true}
"""


def load(text: str) -> Configuration:
    return configuration.load(text, "omniroute.yaml", ENV, str)


def compiled(found: Configuration) -> Compiled:
    return compile_snapshot(found, (), b"p" * 32)


def settings(*webhooks: object) -> Entity:
    document = {"notify": {"webhooks": [*webhooks]}}
    tree = entities.as_tree(document)
    assert isinstance(tree, dict)
    return Entity(kind="settings", id="s1", organisation="default", document=tree)


def from_env(_: objects.Named, source: SecretSource) -> str:
    return secrecy.fetch(source, ENV, str)


def test_they_are_published_without_their_secrets_which_auth_has_under_their_ids() -> None:
    made = compiled(load(FILE % SECRET))
    published = encode(made.content)
    assert SECRET.removeprefix("whsec_").encode() not in published
    pager, acme = decode(published).webhooks
    assert (pager.id, made.accounts["notify:pager"].secret) == ("notify:pager", SECRET)
    assert pager.secret_version == made.accounts["notify:pager"].version != acme.secret_version
    assert acme == Webhook(
        name="acme", url="http://127.0.0.1:9/x", secret_version=acme.secret_version, organisation="acme",
        percents=(90, 100), allow_private=True,
    )  # fmt: skip
    assert [pager.wants("acme", 80), acme.wants("acme", 80), acme.wants("acme", 90), acme.wants("default", 90)] == [
        True, False, True, False,
    ]  # fmt: skip


def test_a_snapshot_of_before_names_none() -> None:
    published = encode(compiled(load("{}")).content).replace(b',"webhooks":[]', b"")
    assert b"webhooks" not in published
    assert decode(published).webhooks == ()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{name: a, url: 'http://127.0.0.1/x', secret: {env: PAGER}}", "url: is a loopback or private address"),
        ("{name: a, url: 'https://u:p@example.org', secret: {env: PAGER}}", "url: must not carry credentials"),
        ("{name: a, url: 'https://example.org/#x', secret: {env: PAGER}}", "url: must not have a fragment"),
        ("{name: a, url: 'https://example.org/'}", "secret: is required"),
        ("{name: a, url: 'https://example.org/', secret: {env: NONE}}", "secret: the environment variable NONE"),
        ("{name: a, url: 'https://example.org/', secret: {env: SHORT}}", "secret: a webhook's secret is whsec_"),
        ("{name: a, url: 'https://example.org/', secret: {value: hunter2}}", "secret: a webhook's secret is whsec_"),
        ("{name: a, url: 'https://example.org/', secret: {env: PAGER}, percents: [0]}", "percents[0]: must be"),
        ("{name: pager, url: 'https://example.org/', secret: {env: PAGER}}", "name: another webhook is called 'pager'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place_and_no_secret(line: str, told: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(f"{FILE % SECRET}    - {line}\n")
    (problem,) = caught.value.problems
    assert f"notify.webhooks[2].{told}" in problem
    assert "hunter2" not in problem


def test_over_the_api_a_secret_is_named_and_never_given() -> None:
    entities.check(settings(PAGER))
    for secret in ({"value": SECRET}, {"vault": "keep"}):
        with pytest.raises(InvalidRequest) as caught:
            entities.check(settings(PAGER | {"secret": secret}))
        assert caught.value.param == "notify.webhooks[0].secret"
        assert SECRET not in str(caught.value)


def test_those_of_the_settings_stand_for_those_of_the_file_and_are_signed_with_their_own_secret() -> None:
    moved = PAGER | {"url": "https://other.example.org/", "secret": {"env": "PAGER"}}
    found = whole.combine(load(FILE % SECRET), NOTHING.changed(put=[settings(moved)]), from_env)
    made = compiled(found)
    assert [(one.name, one.url) for one in made.content.webhooks] == [("pager", "https://other.example.org/")]
    assert made.accounts["notify:pager"].secret == SECRET
    assert "notify:acme" not in made.accounts


def test_one_whose_secret_is_gone_is_left_out_and_the_others_go_on() -> None:
    held: Held = NOTHING.changed(put=[settings(PAGER | {"name": "lost", "secret": {"env": "GONE"}}, PAGER)])
    found, told = whole.usable(load("{}"), held, from_env)
    assert [one.name for one in compiled(found).content.webhooks] == ["pager"]
    assert "notify.webhooks[0]: the environment variable GONE is not set" in told[0]
    with pytest.raises(whole.Misfit):
        whole.combine(load("{}"), held, from_env)


def test_neither_an_export_nor_an_object_shows_a_secret_of_the_file() -> None:
    live = load(FILE % SECRET).tree
    assert SECRET not in exporting.text(live, NOTHING)
    (found,) = (one for one in objects.of_tree(live).values() if one.kind == "settings")
    assert SECRET not in repr(planning.shown(found.document))
    assert merging.merge(live, NOTHING).settings == frozenset()


def test_a_file_is_checked_without_its_secret_files() -> None:
    text = FILE.replace("{env: PAGER}", "{file: /run/secrets/pager}") % SECRET
    assert configuration.check(text, "omniroute.yaml", {}).ok
    with pytest.raises(SecretUnreadable):
        secrecy.fitting(("notify", "webhooks", 0, "secret"), "none")
