"""Two auths on one PostgreSQL and one NATS, each with a data directory of its own: one configuration, whoever is
asked."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omni_auth.adapters.keyring import KEYS
from omni_auth.domain.apikeys import presented_digest
from omni_auth.settings import AuthSettings
from omni_core.ports.auth import NewKey
from omni_core.ports.configuration import Caller
from omni_core.ports.context import CallContext
from omni_core.runtime import Runtime
from omni_wire.errors import InvalidRequest, Unauthenticated

from tests.contract.store.test_objects import BETA
from tests.contract.test_auth_publication import CONFIG, ENV, auth, held, until
from tests.support.postgres import PostgresServer
from tests.support.servers import nats_server
from tests.support.store import Place

ME = Caller("key:api-1 (boss)")
CONTEXT = CallContext("r")
QUICK = AuthSettings(poll=0.02, republish=0.03, visible=5.0)


class Pair:
    """``one`` and ``other``; ``runtime`` sees what is published."""

    def __init__(self, one: Any, other: Any, runtime: Runtime) -> None:
        self.one, self.other, self._runtime = one, other, runtime

    async def revision(self) -> int:
        """The number under which both have the same in force, and it is published."""

        async def agreed() -> int:
            found = [await port.configuration() for port in (self.one, self.other)]
            published = await held(self._runtime)
            same = found[0].snapshot == found[1].snapshot
            return found[0].revision if same and published and published.revision == found[0].revision else 0

        return int(await until(agreed))

    async def knows(self, port: Any, secret: str) -> bool:
        try:
            await port.authenticate(CONTEXT, presented_digest(secret))
        except Unauthenticated:
            return False
        return True


async def put(port: Any, kind: str, name: str, document: dict[str, Any], **more: Any) -> Any:
    return await port.put_object(ME, kind, name, msgspec.json.encode(document), **more)


@pytest.fixture
async def pair(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Pair]:
    place = Place("postgresql", tmp_path, postgres)
    (tmp_path / "second.key").write_text("second-secret-1\n")
    file = tmp_path / "omniroute.yaml"
    file.write_text(CONFIG)
    env = {**ENV, **place.env, KEYS: f"shared:{base64.b64encode(bytes(32)).decode()}"}
    with nats_server() as url:
        async with AsyncExitStack() as exits:
            both = [
                await exits.enter_async_context(auth(url, tmp_path / name, file, env, settings=QUICK))
                for name in ("one", "other")
            ]
            yield Pair(both[0][0].service, both[1][0].service, both[0][1])


async def test_each_change_is_in_force_on_both_under_one_number_whoever_made_it(pair: Pair) -> None:
    began = await pair.revision()
    for number in range(8):
        port = (pair.one, pair.other)[number % 2]
        await put(port, "combos", f"c{number}", {"targets": ["acme/m"]})
    assert await pair.revision() == began + 8, "none is numbered twice"
    assert [one.name for one in (await pair.one.list_objects(ME, "combos")).items] == [
        one.name for one in (await pair.other.list_objects(ME, "combos")).items
    ]


async def test_a_key_made_by_one_is_good_at_the_other_and_revoked_by_the_other_bad_at_the_first(pair: Pair) -> None:
    made = await pair.one.create_key(NewKey(name="ci-two"))
    await until(lambda: pair.knows(pair.other, made.secret))
    await until(lambda: _has_key(pair.other))
    await pair.other.revoke_key("ci-two")

    async def forgotten() -> bool:
        return not await pair.knows(pair.one, made.secret)

    await until(forgotten)
    await pair.revision()


async def _has_key(port: Any) -> bool:
    return "ci-two" in [key.name for key in await port.list_keys()]


async def test_what_one_has_sealed_the_other_opens(pair: Pair) -> None:
    await put(pair.one, "providers", "beta", BETA)
    await put(pair.one, "accounts", "beta/main", {"api_key": {"value": "canary-two-1"}})
    await pair.revision()
    for port in (pair.one, pair.other):
        assert (await port.credential(CONTEXT, "beta/main")).secret == "canary-two-1"


async def test_of_two_changes_of_one_version_made_at_once_one_is_refused(pair: Pair) -> None:
    etag = (await put(pair.one, "providers", "beta", BETA)).object.etag
    for number in range(5):
        ended = await asyncio.gather(
            *(
                put(port, "providers", "beta", {**BETA, "tier": "free", "base_url": _url(number, name)}, if_match=etag)
                for name, port in (("one", pair.one), ("other", pair.other))
            ),
            return_exceptions=True,
        )
        (refused,) = [one for one in ended if isinstance(one, BaseException)]
        assert isinstance(refused, InvalidRequest)
        assert (refused.status, refused.code) == (412, "version_mismatch")
        (written,) = [one for one in ended if not isinstance(one, BaseException)]
        etag = written.object.etag
        for port in (pair.one, pair.other):
            found = await port.get_object(ME, "providers", "beta")
            assert (found.etag, found.document) == (etag, written.object.document)
    await pair.revision()


def _url(number: int, name: str) -> str:
    return f"https://{name}{number}.example.com/v1"
