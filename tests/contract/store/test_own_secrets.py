"""Whoever may configure providers does not get at the gateway's own secrets by naming them as a provider's credential.
In process and over gRPC, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from omni_catalogue.scopes import ANY
from omni_core.ports.auth import NewKey
from omni_core.ports.context import CallContext
from omni_wire.errors import CredentialUnavailable

from tests.contract.store.test_objects import BETA, FILE, ME, House, refused
from tests.support.store import Place

KEY = "or-ci-0123456789-secret"
OURS = [
    ({"file": "data/local.key"}, "lies in the gateway's data directory"),
    ({"file": "link.key"}, "lies in the gateway's data directory"),
    ({"file": "token"}, "is the gateway's own"),
    ({"file": "omniroute.yaml"}, "is the gateway's own"),
    ({"env": "OMNIROUTE_KEY"}, "is the gateway's own"),
    ({"env": "CI_KEY"}, "holds a key to this gateway"),
    ({"file": "ci.key"}, "holds a key to this gateway"),
    ({"file": "copy.key"}, "is a key to this gateway"),
    ({"env": "COPY"}, "is a key to this gateway"),
]


@pytest.fixture
async def house(place: Place, tmp_path: Path) -> AsyncIterator[House]:
    place.data_dir = tmp_path / "data"
    place.data_dir.mkdir()
    made = House(place, tmp_path, place.kind == "sqlite")
    for name, text in (("data/local.key", "or-local"), ("token", "or-token"), ("ci.key", "of-a-file-0123456789")):
        (tmp_path / name).write_text(text)
    (tmp_path / "link.key").symlink_to(tmp_path / "data/local.key")
    (tmp_path / "beta.key").write_text("beta-secret-1")
    made.env |= {"OMNIROUTE_SERVICE_TOKEN_FILE": str(tmp_path / "token"), "OMNIROUTE_KEY": KEY, "CI_KEY": KEY}
    made.env |= {"LATER": "later-0123456789-secret", "BOTH": "both-0123456789-secret"}
    keys = "keys: [{name: ci, secret: {env: CI_KEY}}, {name: filed, secret: {file: ci.key}}]\n"
    made.file.write_text(FILE + keys)
    await made.open()
    minted = await made.port.create_key(NewKey(name="boss", role="admin"), ME)
    (tmp_path / "copy.key").write_text(minted.secret)
    made.env["COPY"] = minted.secret
    yield made
    await made.close()


def document(source: dict[str, str]) -> str:
    provider = {"id": "e", **BETA, "accounts": [{"name": "a", "api_key": source}]}
    return yaml.safe_dump({"providers": [provider]})


async def apply(house: House, text: str, **more: Any) -> Any:
    return await house.port.apply_configuration(ME, text, "e.yaml", scopes=ANY, **more)


@pytest.mark.parametrize(("source", "told"), OURS)
async def test_what_is_the_gateways_own_is_refused_by_its_field(
    house: House, source: dict[str, str], told: str
) -> None:
    await house.beta()
    before, snapshot = house.audited(), await house.snapshot()
    with refused(400) as put:
        await house.put("accounts", "beta/main", {"api_key": source})
    assert put.value.param == "api_key"
    with refused(400) as new:
        await house.put("accounts", "beta/more", {"api_key": source}, dry_run=True)
    assert new.value.param == "api_key"
    for mode in ("apply", "import"):
        with refused(400) as applied:
            await apply(house, document(source), mode=mode)
        assert applied.value.param == "providers[0].accounts[0].api_key"
        assert applied.value.message.startswith("e.yaml:")
        assert told in applied.value.message
        assert "give the secret as {value: …}" in applied.value.message
    assert told in put.value.message
    assert told in new.value.message
    assert (house.audited(), await house.snapshot()) == (before, snapshot)


async def test_what_is_named_besides_is_taken(house: House) -> None:
    await house.put("providers", "beta", BETA)
    for source in ({"env": "BETA_KEY"}, {"file": "beta.key"}, {"file": str(house.file.parent / "beta.key")}):
        await house.put("accounts", "beta/main", {"api_key": source})
        assert (await house.service.credential(CallContext("r"), "beta/main")).secret == "beta-secret-1"


async def test_the_gateways_own_file_is_the_operators_and_may_name_what_it_likes(house: House) -> None:
    before = (await house.snapshot()).revision
    house.file.write_text(FILE.replace("{env: ACME_KEY}", "{file: data/local.key}"))

    async def read() -> bool:
        return (await house.snapshot()).revision > before

    await house.until(read)
    assert (await house.service.credential(CallContext("r"), "acme/first")).secret == "or-local"
    with refused(400) as adopted:
        await house.port.adopt_object(ME, "providers", "acme")
    assert "lies in the gateway's data directory" in adopted.value.message


async def test_what_comes_to_be_ours_is_left_out_wherever_it_was_written(house: House) -> None:
    """A link that is bent, a key that the file says later: what counts is what is there when it is read."""
    folder = house.file.parent
    (folder / "bent.key").symlink_to(folder / "beta.key")
    await house.beta()
    await house.put("accounts", "beta/bent", {"api_key": {"file": "bent.key"}})
    await house.put("accounts", "beta/later", {"api_key": {"env": "LATER"}})
    (folder / "bent.key").unlink()
    (folder / "bent.key").symlink_to(folder / "data/local.key")
    house.file.write_text(FILE + "keys: [{name: later, secret: {env: LATER}}]\n")

    async def gone() -> bool:
        (_, beta) = (await house.snapshot()).providers
        return [account.name for account in beta.accounts] == ["main"]

    await house.until(gone)
    for name in ("beta/bent", "beta/later"):
        with pytest.raises(CredentialUnavailable):
            await house.service.credential(CallContext("r"), name)
    await house.close()
    house.exits = type(house.exits)()
    await house.open()
    assert await gone()
    told = (await house.service.configuration()).rejected
    assert "accounts/beta/bent: api_key: the file bent.key lies in the gateway's data directory" in told
    assert "accounts/beta/later: api_key: the environment variable LATER holds a key to this gateway" in told


async def test_a_key_and_a_credential_of_one_file_are_two_secrets(house: House) -> None:
    keys = "keys: [{name: both, secret: {env: BOTH}}]\n"
    with refused(400) as at_once:
        await apply(house, document({"env": "BOTH"}) + keys)
    assert "BOTH holds a key to this gateway" in at_once.value.message
    await apply(house, document({"env": "BOTH"}))
    with refused(400) as later:
        await house.port.apply_configuration(ME, keys, "keys.yaml", scopes=ANY)
    assert "accounts/e/a: api_key" in later.value.message
    await apply(house, "{}")
    await apply(house, keys)
    with refused(400) as applied:  # the name of the variable is kept nowhere, what it holds is known
        await apply(house, document({"env": "BOTH"}))
    assert "what BOTH holds is a key to this gateway" in applied.value.message
