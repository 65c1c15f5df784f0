"""What the service does on its own when the world around it hesitates or fails."""

import asyncio
import logging
import os
import time

import pytest
from omni_auth.adapters.keyring import open_keyring
from omni_auth.adapters.metrics import PrometheusMetrics
from omni_auth.adapters.offline import open_keys
from omni_auth.adapters.own_secrets import OwnSecrets
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.adapters.store.credentials import Vault
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.store.objects import SqlObjects
from omni_auth.adapters.store_secrets import AccountSecrets
from omni_auth.domain.apikeys import presented_digest
from omni_auth.domain.configuration import load
from omni_auth.ports import InBucket, Reading
from omni_auth.service import AuthService
from omni_auth.settings import AuthSettings
from omni_catalogue.scopes import Scopes
from omni_catalogue.snapshot import decode
from omni_core.ids import new_id
from omni_core.ports.auth import Identity, NewKey
from omni_core.ports.context import CallContext
from omni_wire.errors import DependencyUnavailable, InvalidRequest, Unauthenticated
from prometheus_client import CollectorRegistry

from tests.support.logins import logins_of

SETTINGS = AuthSettings(poll=0.005, republish=0.02, retry=0.01, first_publication=1.0, visible=0.2)


class Time:
    now = 1_700_000_000


class Source:
    """A file that shows what ``shown`` yields at each look, and always reads as the text last shown."""

    filename = "omniroute.yaml"

    def __init__(self, *texts):
        self.texts = texts
        self.looks = self.reads = 0

    @property
    def text(self):
        return self.texts[self.looks % len(self.texts)]

    def fingerprint(self):
        self.looks += 1
        return self.text.encode()

    def read(self):
        self.reads += 1
        return Reading(self.text.encode(), load(self.text, self.filename, {}, str))


class Faulty(Source):
    """A file whose reading fails in a way that nobody foresaw, while ``fault`` is set."""

    fault = None

    def read(self):
        if self.fault:
            self.reads += 1
            raise self.fault
        return super().read()


class Bucket:
    fault = None

    def __init__(self, value=None):
        self.value, self.away, self.puts = value, False, 0

    async def get(self):
        if self.fault:
            raise self.fault
        if self.away:
            raise DependencyUnavailable("NATS is not reachable")
        return self.value if isinstance(self.value, InBucket) else InBucket(self.value or b"")

    async def put(self, snapshot):
        self.value, self.puts = snapshot, self.puts + 1


@pytest.fixture
async def started(tmp_path):
    services = []
    Time.now = 1_700_000_000

    async def start(source=None, bucket=None, store=None):
        store = store or SqlStore(tmp_path)
        vault = Vault(store.database, open_keyring(tmp_path, {}), os.urandom)
        service = AuthService(
            store=store, objects=SqlObjects(store.database, vault), audit=AuditLog(store.database),
            logins=logins_of(store.database, vault),
            secrets=AccountSecrets({}, tmp_path, vault, OwnSecrets({}, tmp_path)),
            mint=new_id, source=source, bucket=bucket or Bucket(), settings=SETTINGS,
            metrics=PrometheusMetrics(CollectorRegistry()), now=lambda: Time.now, chance=os.urandom,
        )  # fmt: skip
        services.append(service)
        await service.start()
        return service

    yield start
    for service in services:
        await service.stop()


async def until(question):
    async with asyncio.timeout(30):
        while not question():  # noqa: ASYNC110 - the questions are of many kinds
            await asyncio.sleep(0.005)


async def test_a_change_counts_once_it_was_seen_the_same_twice(started):
    source = Source("server: {port: 1}", "{}")
    service = await started(source)
    await until(lambda: source.looks > 10)
    assert source.reads == 1
    source.texts = ("server: {port: 2}",)
    await until(lambda: source.reads == 2)
    looks = source.looks
    await until(lambda: source.looks > looks + 5)
    assert source.reads == 2
    assert decode((await service.configuration()).snapshot).server.port == 2


async def test_it_numbers_above_whatever_the_bucket_holds(started):
    bucket = Bucket(b'{"revision": 41, "from": "a newer version"}')
    service = await started(bucket=bucket)
    assert decode(bucket.value).revision == (await service.configuration()).revision == 42
    bucket.value = b"not a snapshot"
    await until(lambda: bucket.puts == 2)
    assert decode(bucket.value).revision == 42
    bucket.value = b'{"revision": 99999999999999999999}'
    await until(lambda: bucket.puts == 3)
    assert decode(bucket.value).revision == 42


async def test_a_number_that_nobody_of_us_signed_moves_no_numbering(started, caplog):
    bucket = Bucket(InBucket(fault="omniroute_config/snapshot in NATS is not ours: it is not signed"))
    service = await started(bucket=bucket)
    assert decode(bucket.value).revision == (await service.configuration()).revision == 1
    assert "it is not signed; it is replaced by revision 1" in caplog.text


async def test_what_an_older_key_has_signed_is_signed_anew_under_its_number(started):
    bucket = Bucket()
    service = await started(bucket=bucket)
    bucket.value = InBucket(bucket.value, is_current=False)
    await until(lambda: bucket.puts == 2)
    assert decode(bucket.value).revision == (await service.configuration()).revision == 1


async def test_what_is_published_already_is_not_put_again(started):
    bucket = Bucket()
    await started(bucket=bucket)
    await asyncio.sleep(0.1)
    assert bucket.puts == 1


async def test_a_store_that_fails_is_told_and_what_is_in_force_stays(started, tmp_path):
    store = SqlStore(tmp_path)
    service = await started(store=store)
    created = await service.create_key(NewKey(name="a"))
    store.close()
    await until(lambda: not service.checks()["store"].ok)
    with pytest.raises(DependencyUnavailable):
        await service.create_key(NewKey(name="b"))
    assert (await service.authenticate(CallContext("r"), presented_digest(created.secret))).name == "a"
    store.open()
    await until(lambda: service.checks()["store"].ok)


async def test_a_key_ends_at_its_time(started):
    service = await started()
    ends = 1_700_000_000 + 60
    created = await service.create_key(NewKey(name="a", scopes=Scopes(endpoints=("chat",), expires=ends)))
    digest = presented_digest(created.secret)
    assert (await service.authenticate(CallContext("r"), digest)).scopes == created.key.scopes
    Time.now = ends
    with pytest.raises(Unauthenticated, match="expired"):
        await service.authenticate(CallContext("r"), digest)
    with pytest.raises(InvalidRequest, match="to come"):
        await service.create_key(NewKey(name="b", scopes=Scopes(expires=ends)))


async def test_a_rotated_keys_secrets_are_both_good_until_the_overlap_ends(started):
    bucket = Bucket()
    service = await started(bucket=bucket)
    created = await service.create_key(NewKey(name="a"))
    before = decode(bucket.value).revision
    rotated = await service.rotate_key("a", 60)
    assert decode(bucket.value).revision > before, "edges must ask again when the older one ends"
    assert [key.id for key in decode(bucket.value).keys] == [created.key.id]

    async def who(secret):
        return await service.authenticate(CallContext("r"), presented_digest(secret))

    ends = 1_700_000_000 + 60
    assert await who(rotated.secret) == Identity(created.key.id, "a", "developer")
    assert await who(created.secret) == Identity(created.key.id, "a", "developer", Scopes(expires=ends))
    assert [key.older_until for key in await service.list_keys()] == [ends]
    Time.now = ends
    assert (await who(rotated.secret)).name == "a"
    with pytest.raises(Unauthenticated):
        await who(created.secret)


async def test_rotating_without_overlap_or_revoking_ends_every_older_secret(started):
    service = await started()
    secrets = [(await service.create_key(NewKey(name="a"))).secret]
    secrets += [(await service.rotate_key("a", 3600)).secret for _ in range(2)]

    async def good():
        found = 0
        for secret in secrets:
            try:
                await service.authenticate(CallContext("r"), presented_digest(secret))
            except Unauthenticated:
                continue
            found += 1
        return found

    assert await good() == 3
    secrets.append((await service.rotate_key("a", 0)).secret)
    assert await good() == 1
    secrets.append((await service.rotate_key("a", 3600)).secret)
    assert await good() == 2
    await service.revoke_key("a")
    assert await good() == 0


async def test_secrets_of_one_key_are_not_many(started):
    service = await started()
    await service.create_key(NewKey(name="a"))
    for _ in range(4):
        await service.rotate_key("a", 3600)
    with pytest.raises(InvalidRequest, match="overlap of 0"):
        await service.rotate_key("a", 3600)
    for overlap in (-1, 10**9, 1.5):
        with pytest.raises(InvalidRequest, match="overlap"):
            await service.rotate_key("a", overlap)


async def test_a_key_is_given_out_while_nats_is_away(started):
    bucket = Bucket()
    service = await started(bucket=bucket)
    bucket.away = True
    created = await service.create_key(NewKey(name="a"))
    assert (await service.authenticate(CallContext("r"), presented_digest(created.secret))).name == "a"
    assert service.checks()["nats"].detail, "it is said"
    assert service.checks()["nats"].ok, "and keeps nobody from asking"
    bucket.away = False
    await until(lambda: not service.checks()["nats"].detail)
    assert [key.name for key in decode(bucket.value).keys] == ["a"]


async def refused(service, secret):
    """How long it takes (seconds) until the key of that secret is refused."""
    began = time.monotonic()
    async with asyncio.timeout(30):
        while True:
            try:
                await service.authenticate(CallContext("r"), presented_digest(secret))
            except Unauthenticated:
                return time.monotonic() - began
            await asyncio.sleep(0.005)


async def test_a_fault_while_reading_the_file_ends_nothing(started, tmp_path, caplog):
    source = Faulty("server: {port: 1}")
    service = await started(source)
    created = await service.create_key(NewKey(name="a"))
    source.fault, source.texts = TypeError("unhashable type: 'list'"), ("server: {port: 2}",)
    await until(lambda: source.reads > 5)
    assert decode((await service.configuration()).snapshot).server.port == 1
    rejected = (await service.configuration()).rejected
    assert rejected.startswith("omniroute.yaml: cannot be taken over because of a fault in OmniRoute (TypeError")
    detail = service.checks()["config"].detail
    assert "the newer file is refused" in detail
    assert rejected not in detail  # /readyz asks for no key
    assert [bool(record.exc_info) for record in caplog.records if record.levelno == logging.ERROR] == [True]

    with open_keys(tmp_path) as keys:
        keys.revoke("a")
    assert await refused(service, created.secret) < 2

    source.fault = None
    await until(lambda: decode(service._in_force().snapshot).server.port == 2)
    await until(lambda: not service._rejected)


async def test_going_back_to_the_file_in_force_ends_a_fault(started):
    source = Faulty("server: {port: 1}")
    service = await started(source)
    source.fault, source.texts = RuntimeError("odd"), ("server: {port: 2}",)
    await until(lambda: service._rejected)
    source.fault, source.texts = None, ("server: {port: 1}",)
    await until(lambda: not service._rejected)
    assert decode((await service.configuration()).snapshot).server.port == 1


async def test_a_fault_of_store_or_bucket_ends_nothing(started, tmp_path, monkeypatch, caplog):
    bucket, store = Bucket(), SqlStore(tmp_path)
    service = await started(bucket=bucket, store=store)
    created = await service.create_key(NewKey(name="a"))
    with monkeypatch.context() as patched:
        patched.setattr(store, "version", lambda: 1 / 0)
        bucket.fault = RuntimeError("odd")
        await until(lambda: not service.checks()["store"].ok and service.checks()["nats"].detail)
        with open_keys(tmp_path) as keys:
            keys.revoke("a")
        await asyncio.sleep(0.1)
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 2
    bucket.fault = None
    assert await refused(service, created.secret) < 2
    await until(lambda: service.checks()["store"].ok and not service.checks()["nats"].detail)
    await until(lambda: not decode(bucket.value).keys)


@pytest.mark.parametrize("budget", [float("nan"), float("inf"), 0.5, -1, 10**30])
async def test_a_key_with_a_nonsense_budget_is_refused(started, budget):
    service = await started()
    with pytest.raises(InvalidRequest, match="budget"):
        await service.create_key(NewKey(name="a", budget_nano_usd=budget))
    assert await service.list_keys() == []


async def test_nothing_is_answered_before_the_start(tmp_path):
    store = SqlStore(tmp_path)
    vault = Vault(store.database, open_keyring(tmp_path, {}), os.urandom)
    service = AuthService(
        store=store, objects=SqlObjects(store.database, vault), audit=AuditLog(store.database),
        logins=logins_of(store.database, vault),
        secrets=AccountSecrets({}, tmp_path, vault, OwnSecrets({}, tmp_path)),
        mint=new_id, source=None, bucket=Bucket(), settings=SETTINGS,
        metrics=PrometheusMetrics(CollectorRegistry()), now=lambda: 0, chance=os.urandom,
    )  # fmt: skip
    with pytest.raises(DependencyUnavailable):
        await service.authenticate(CallContext("r"), b"")
    assert not service.checks()["config"].ok
    await service.stop()
