"""Credentials that are sealed in the store: given through the configuration port, opened for who calls providers,
brought under another key while all goes on."""

import asyncio
import base64
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from omni_auth.adapters.keyring import GROUP, KMS, KmsKeys, LocalKeys, open_keyring
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.adapters.store.objects import SqlObjects
from omni_auth.adapters.store.tables import credentials
from omni_auth.adapters.vault_keys import open_vault
from omni_auth.domain.objects import Held
from omni_auth.domain.vault import VaultRefused
from omni_core.ports.context import CallContext
from omni_wire.errors import CredentialUnavailable, InvalidRequest
from sqlalchemy import select, update

from tests.contract.store.test_objects import BETA, FILE, ME, House, refused
from tests.support.store import Place

SECRET = "canary-7c2e-beta-0123456789"
CONTEXT = CallContext("r")


@pytest.fixture
async def house(place: Place, tmp_path: Path) -> AsyncIterator[House]:
    made = await House(place, tmp_path, remote=False).open()
    await made.put("providers", "beta", BETA)
    await made.put("accounts", "beta/main", {"api_key": {"value": SECRET}})
    yield made
    await made.close()


async def secret(house: House, account: str = "beta/main") -> str:
    return (await house.service.credential(CONTEXT, account)).secret


async def test_a_credential_is_sealed_and_never_told(house: House, place: Place) -> None:
    assert await secret(house) == SECRET
    account = await house.port.get_object(ME, "accounts", "beta/main")
    assert SECRET.encode() not in account.document
    assert b'"vault":' in account.document
    assert SECRET not in await house.port.export_configuration(ME)
    assert not any(SECRET in entry.after + entry.before for entry in AuditLog(house.store.database).newest())
    with house.store.database.reading() as connection:
        (row,) = connection.execute(select(credentials)).mappings()
    assert SECRET.encode() not in bytes(row["content"]) + bytes(row["wrapped"])
    if place.kind == "sqlite":
        files = [path.read_bytes() for path in place.data_dir.rglob("*") if path.is_file()]
        assert not any(SECRET.encode() in content for content in files)
    keys = place.data_dir / "vault.keys"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600


async def test_the_same_secret_again_changes_nothing_and_another_one_counts(house: House) -> None:
    again = await house.put("accounts", "beta/main", {"api_key": {"value": SECRET}})
    assert (again.outcome, again.object.etag) == ("unchanged", "1")
    kept = await house.put("accounts", "beta/main", {"api_key": {"vault": "keep"}})
    assert kept.outcome == "unchanged"
    changed = await house.put("accounts", "beta/main", {"api_key": {"value": "another-secret-1"}})
    assert (changed.outcome, changed.object.etag) == ("updated", "2")
    assert await secret(house) == "another-secret-1"


async def test_nothing_can_be_kept_where_nothing_is_sealed(house: House) -> None:
    with refused(400) as check:
        await house.put("accounts", "beta/other", {"api_key": {"vault": "keep"}})
    assert check.value.param == "api_key"
    with refused(400):
        await house.put("accounts", "beta/other", {"api_key": {"value": "has\nlines"}})


async def test_what_is_sealed_goes_with_its_account(house: House) -> None:
    await house.put("accounts", "beta/main", {"api_key": {"env": "BETA_KEY"}})
    assert house.vault.used() == {}
    await house.put("accounts", "beta/main", {"api_key": {"value": SECRET}})
    assert sum(house.vault.used().values()) == 1
    await house.port.delete_object(ME, "accounts", "beta/main")
    assert house.vault.used() == {}


async def test_a_files_own_secret_is_sealed_when_its_provider_is_adopted(house: House) -> None:
    house.file.write_text(FILE.replace("{env: ACME_KEY}", f"{{value: {SECRET}-file}}"))

    async def there() -> bool:
        return await secret(house, "acme/first") == f"{SECRET}-file"

    await house.until(there)
    shown = await house.port.get_object(ME, "accounts", "acme/first")
    assert SECRET.encode() not in shown.document
    await house.port.adopt_object(ME, "providers", "acme")
    house.file.write_text("{}")
    assert await secret(house, "acme/first") == f"{SECRET}-file"


async def test_one_that_does_not_open_leaves_out_that_account_alone(house: House) -> None:
    await house.put("accounts", "beta/spare", {"api_key": {"value": "spare-secret-1"}})
    with house.store.database.writing() as connection:
        row = connection.execute(select(credentials).order_by(credentials.c.id)).mappings().first()
        assert row is not None
        content = bytearray(row["content"])
        content[-1] ^= 1
        connection.execute(update(credentials).where(credentials.c.id == row["id"]).values(content=bytes(content)))
    await house.close()
    await house.open()
    with pytest.raises(CredentialUnavailable):
        await secret(house)
    assert await secret(house, "beta/spare") == "spare-secret-1"
    told = (await house.service.configuration()).rejected
    assert "accounts/beta/main: api_key: what is sealed was changed" in told


async def test_a_credential_that_changes_while_it_is_read_leaves_its_account_in(
    house: House, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "other").mkdir()
    other = await House(place, tmp_path / "other", remote=False).open()
    loop, read, changes = asyncio.get_running_loop(), SqlObjects.held, iter(["changed-secret-1"])

    def held(self: SqlObjects, *given: str) -> Held:
        found = read(self, *given)
        if self is house.objects and (secret := next(changes, "")):
            put = other.put("accounts", "beta/main", {"api_key": {"value": secret}})
            asyncio.run_coroutine_threadsafe(put, loop).result(10)
        return found

    monkeypatch.setattr(SqlObjects, "held", held)
    try:
        await house.put("aliases", "fast", {"target": "beta/m"})
        assert await secret(house) == "changed-secret-1"
        assert "left out" not in caplog.text
    finally:
        await other.close()


async def test_a_rotation_goes_on_under_a_serving_auth_and_the_old_key_retires_last(house: House, place: Place) -> None:
    for number in range(120):
        await house.put("accounts", f"beta/more{number}", {"api_key": {"value": f"{SECRET}-{number}"}})
    asked = asyncio.Event()

    async def serve() -> int:
        count = 0
        while not asked.is_set():
            assert await secret(house, f"beta/more{count % 120}") == f"{SECRET}-{count % 120}"
            count += 1
            await asyncio.sleep(0)
        return count

    serving = asyncio.create_task(serve())
    seen: list[int] = []

    def rotate() -> tuple[str, int]:
        with open_vault(place.data_dir, place.env) as keys:
            with pytest.raises(InvalidRequest, match="still wraps 121"):
                keys.retire("first")
            return keys.rotate(seen.append)

    primary, moved = await asyncio.to_thread(rotate)
    assert moved == 121
    assert seen == [50, 100, 121]
    await house.put("accounts", "beta/new", {"api_key": {"value": "new-secret-1"}})
    asked.set()
    assert await serving > 0
    assert house.vault.used() == {primary: 122}
    with open_vault(place.data_dir, place.env) as keys:
        await asyncio.to_thread(keys.retire, "first")
        assert [key.id for key in keys.status()] == [primary]
    await house.close()
    await house.open()
    assert await secret(house, "beta/more7") == f"{SECRET}-7"
    actions = [entry.action for entry in AuditLog(house.store.database).newest()]
    assert {"vault.rotate", "vault.rewrap", "vault.retire"} <= set(actions)


KILLED = """
import os, signal, sys
from pathlib import Path
from omni_auth.adapters import vault_keys
from omni_auth.adapters.store import credentials

after = int(sys.argv[2])
credentials.BATCH = 3
def progress(done):
    if done >= after:
        os.kill(os.getpid(), signal.SIGKILL)
with vault_keys.open_vault(Path(sys.argv[1]), dict(os.environ)) as keys:
    if after == 0:
        keys._vault.rewrap = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
    keys.rotate(progress)
"""


@pytest.mark.parametrize("after", [0, 3, 9])
async def test_a_rotation_that_is_killed_loses_nothing_and_is_ended_by_the_next(
    house: House, place: Place, after: int
) -> None:
    for number in range(10):
        await house.put("accounts", f"beta/more{number}", {"api_key": {"value": f"{SECRET}-{number}"}})
    killed = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", KILLED, str(place.data_dir), str(after)],
        env={**os.environ, **place.env},
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    await house.close()
    await house.open()
    assert [await secret(house, f"beta/more{n}") for n in range(10)] == [f"{SECRET}-{n}" for n in range(10)]
    with open_vault(place.data_dir, place.env) as keys:
        _, moved = await asyncio.to_thread(keys.rotate, lambda done: None)
        assert moved == 11 - after
        assert [key.id for key in keys.status() if key.credentials] == [keys.status()[0].id]
        assert len(keys.status()) == 2
    assert await secret(house) == SECRET


class Service:
    """A key service that keeps what it wraps to itself."""

    key_id = "kms-1"

    def __init__(self, env: object = None) -> None:
        self.held: dict[bytes, tuple[bytes, bytes]] = {}
        self.hangs = self.fails = False

    def wrap(self, data_key: bytes, associated: bytes) -> bytes:
        self.held[token := os.urandom(8)] = (data_key, associated)
        return token

    def unwrap(self, wrapped: bytes, associated: bytes) -> bytes:
        if self.fails:
            raise RuntimeError("canary " + SECRET)
        found, given = self.held[wrapped]
        assert given == associated
        return found


async def test_a_key_service_may_hold_the_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Point:
        name = "mine"

        def load(self) -> type[Service]:
            return Service

    monkeypatch.setattr("omni_auth.adapters.keyring.entry_points", lambda group: [Point()] if group == GROUP else [])
    keys = open_keyring(tmp_path, {KMS: "mine"})
    wrapped = keys.wrap("kms-1", b"k" * 32, b"a")
    assert keys.unwrap("kms-1", wrapped, b"a") == b"k" * 32
    with pytest.raises(VaultRefused, match="refuses: KeyError"):
        keys.unwrap("kms-1", b"other", b"a")
    with pytest.raises(VaultRefused, match="are made there"):
        keys.renew("2026-11-29")
    with pytest.raises(VaultRefused, match="no package here has a key service 'other'"):
        open_keyring(tmp_path, {KMS: "other"})


def test_a_key_service_that_hangs_or_fails_says_nothing_of_what_it_held() -> None:
    held = Service()
    keys = KmsKeys(held, timeout=0.05)
    wrapped = keys.wrap("kms-1", b"k" * 32, b"a")
    held.fails = True
    with pytest.raises(VaultRefused) as caught:
        keys.unwrap("kms-1", wrapped, b"a")
    assert SECRET not in str(caught.value)


def test_keys_come_from_the_environment_or_a_file_of_others(tmp_path: Path) -> None:
    one, two = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
    keys = LocalKeys({"OMNIROUTE_VAULT_KEYS": f"two:{two},one:{one}"}, tmp_path / "vault.keys", os.urandom)
    assert keys.ids() == ("two", "one")
    wrapped = keys.wrap("two", b"k" * 32, b"a")
    file = tmp_path / "mounted"
    file.write_text(f"one:{one}\ntwo:{two}\n")
    file.chmod(0o444)  # as compose mounts it
    mounted = LocalKeys({"OMNIROUTE_VAULT_KEYS_FILE": str(file)}, tmp_path / "vault.keys", os.urandom)
    assert mounted.primary == "one"
    assert mounted.unwrap("two", wrapped, b"a") == b"k" * 32
    with pytest.raises(VaultRefused, match="OMNIROUTE_VAULT_KEYS are made there"):
        keys.renew("2026-11-29")
    with pytest.raises(VaultRefused, match="the vault key 'three' is not here"):
        keys.unwrap("three", wrapped, b"a")
    file.write_text("nonsense")
    with pytest.raises(VaultRefused, match="key 1 has no id"):
        _ = mounted.primary
    assert not (tmp_path / "vault.keys").exists()


def test_a_new_key_is_on_disk_under_its_name_before_anything_is_wrapped_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = LocalKeys({}, tmp_path / "vault.keys", os.urandom)
    assert keys.primary == "first"
    (tmp_path / ".vault.keys.new").write_text("what a killed one left")
    synced: list[tuple[Path, bool]] = []

    def fsync(file: int) -> None:
        held = "2026-11-29:" in (tmp_path / "vault.keys").read_text()
        synced.append((Path(os.readlink(f"/proc/self/fd/{file}")), held))

    monkeypatch.setattr(os, "fsync", fsync)
    keys.renew("2026-11-29")
    assert synced == [(tmp_path / ".vault.keys.new", False), (tmp_path, True)]
    assert {path.name for path in tmp_path.iterdir()} == {"vault.keys", ".vault.keys.lock"}
    assert stat.S_IMODE((tmp_path / "vault.keys").stat().st_mode) == 0o600


def test_a_keyring_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keys = LocalKeys({}, tmp_path / "vault.keys", os.urandom)
    assert keys.primary == "first"
    (tmp_path / "vault.keys").chmod(0o644)
    with pytest.raises(VaultRefused, match="chmod 600"):
        _ = LocalKeys({}, tmp_path / "vault.keys", os.urandom).primary
