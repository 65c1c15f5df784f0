"""The life of a configuration: file → checked → compiled → numbered → published, and answers from what is in force.

Three loops run beside the answers. One watches the file and its secret files and puts a good change in force; a bad
one leaves everything as it is and says so. One does the same for the key store, so that no file, however bad or slow to
read, keeps a revoked key alive. The last keeps the bucket at the snapshot in force, whatever NATS forgets. A fault of
our own is told and does not end a loop: it would be deaf until the next restart. Every answer comes from memory, so
neither NATS nor the disk is needed to say who a key is.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable

import msgspec
from omni_catalogue.snapshot import KeyPolicy
from omni_core.component import Check, ConfigState
from omni_core.ports.auth import Configuration as PublishedConfiguration
from omni_core.ports.auth import CreatedKey, Credential, Identity, KeyInfo, NewKey
from omni_core.ports.context import CallContext
from omni_wire.errors import CredentialUnavailable, DependencyUnavailable, InvalidRequest, Unauthenticated

from omni_auth.domain import apikeys
from omni_auth.domain.apikeys import StoredKey
from omni_auth.domain.compilation import ANONYMOUS, Compiled, DemoProvider, compile_snapshot
from omni_auth.domain.configuration import Configuration, empty
from omni_auth.domain.problems import ConfigErrors
from omni_auth.ports import AuthMetrics, Chance, ConfigSource, KeyStore, Reading, SnapshotBucket
from omni_auth.settings import AuthSettings

log = logging.getLogger("omniroute.auth")

MAX_REVISION = 1 << 53


class InForce(msgspec.Struct, frozen=True):
    """What answers are given from. ``snapshot`` is what is published."""

    configuration: Configuration
    stored: tuple[StoredKey, ...]
    compiled: Compiled
    revision: int
    snapshot: bytes

    @property
    def file_keys(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.configuration.config.keys)


class AuthService:
    """AuthPort, and the three loops. ``now`` gives epoch seconds."""

    def __init__(
        self,
        *,
        store: KeyStore,
        source: ConfigSource | None,
        bucket: SnapshotBucket,
        metrics: AuthMetrics,
        settings: AuthSettings,
        now: Callable[[], int],
        chance: Chance,
        demo: DemoProvider | None = None,
    ) -> None:
        self._store, self._source, self._bucket, self._metrics = store, source, bucket, metrics
        self._settings, self._now, self._chance, self._demo = settings, now, chance, demo
        self._state: InForce | None = None
        self._pepper = b""
        self._store_version = -1
        self._fingerprint = b""
        self._rejected: tuple[str, ...] = ()
        self._published = 0
        self._troubles: dict[str, str] = {}
        self._changing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._spread = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises ``ConfigErrors`` for a file that cannot be used, ``DependencyUnavailable`` for such a store.
        NATS may be away."""
        if self._tasks:
            raise RuntimeError("auth is started already")
        configuration = empty()
        if self._source is not None:
            reading = await asyncio.to_thread(self._source.read)
            if reading.configuration is None:
                raise ConfigErrors(reading.problems)
            self._fingerprint, configuration = reading.fingerprint, reading.configuration
        await asyncio.to_thread(self._store.open)
        self._pepper = await asyncio.to_thread(self._store.pepper)
        self._metrics.rejected(False)
        async with self._changing:
            await self._put_in_force(configuration)
        self._tell_warnings(configuration)
        self._tasks = [asyncio.create_task(loop) for loop in (self._watch_keys(), self._publish())]
        if self._source is not None:
            self._tasks.append(asyncio.create_task(self._watch_file(self._source)))
        await self._until_published(self._settings.first_publication)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await asyncio.to_thread(self._store.close)

    def checks(self) -> dict[str, Check]:
        detail = f"revision {self._state.revision}" if self._state else "not started"
        if self._rejected:
            detail += "; the newer file is refused, see the log or /api/system"  # whoever probes may not read it
        return {
            "config": Check(self._state is not None, detail),
            "store": self._check("store", "storing"),
            "nats": self._bucket_check(),
        }

    def config_state(self) -> ConfigState:
        """What it has in force itself. A file that is refused has no number yet."""
        return ConfigState(self._state.revision if self._state else 0, 0, "; ".join(self._rejected))

    def _bucket_check(self) -> Check:
        """Once something is published, NATS being away keeps nobody from asking us, and everybody else from asking
        at all were we to call ourselves not ready."""
        told = self._troubles.get("nats", "")
        return Check(not told or self._published > 0, told and f"revision {self._published} is published; {told}")

    def _check(self, *names: str) -> Check:
        told = next((self._troubles[name] for name in names if name in self._troubles), "")
        return Check(not told, told)

    # ---- AuthPort ---------------------------------------------------------------------------------------------------

    async def authenticate(self, context: CallContext, key_digest: bytes) -> Identity:
        policy = self._in_force().compiled.identities.get(apikeys.stored_digest(self._pepper, key_digest))
        self._metrics.authenticated(policy is not None)
        if policy is None:
            raise Unauthenticated("The API key is wrong: there is no such key, or it was revoked.")
        return Identity(policy.id, policy.name, policy.role)

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        account = self._in_force().compiled.accounts.get(account_id)
        if account is None:
            raise CredentialUnavailable(f"there is no account '{account_id}' in the configuration in force")
        return Credential(account.secret, account.version)

    async def configuration(self) -> PublishedConfiguration:
        state = self._in_force()
        return PublishedConfiguration(state.revision, state.snapshot, "\n".join(self._rejected))

    async def create_key(self, new: NewKey) -> CreatedKey:
        state = self._in_force()
        check_new(new)
        apikeys.refuse_taken(new.name, state.stored, state.file_keys)
        key, secret = make_key(new, self._chance(apikeys.ENTROPY_BYTES), self._pepper, self._now())
        await asyncio.to_thread(self._store.insert, key)
        await self._keys_changed()
        return CreatedKey(stored_info(key), secret)

    async def list_keys(self) -> list[KeyInfo]:
        state = self._in_force()
        policies = state.compiled.identities.values()
        from_file = [policy for policy in policies if policy.id.startswith("key-")]
        return [*map(policy_info, from_file), *map(stored_info, state.stored)]

    async def revoke_key(self, key: str) -> KeyInfo:
        state = self._in_force()
        found = apikeys.find(key, state.stored, state.file_keys, state.configuration.filename)
        if not await asyncio.to_thread(self._store.revoke, found.id, self._now()):
            raise InvalidRequest(f"there is no key '{key}'", param="key")
        await self._keys_changed()
        return stored_info(found)

    # ---- what is in force -------------------------------------------------------------------------------------------

    def _in_force(self) -> InForce:
        if self._state is None:
            raise DependencyUnavailable("auth has not started yet")
        return self._state

    async def _put_in_force(self, configuration: Configuration, above: int = 0) -> None:
        """Compile, number and switch over; an unchanged content keeps its number. Called with the lock held."""
        version = await asyncio.to_thread(self._store.version)
        stored = tuple(await asyncio.to_thread(self._store.stored_keys))
        compiled = await asyncio.to_thread(compile_snapshot, configuration, stored, self._pepper, self._demo)
        # A key's new secret changes no byte of the snapshot, yet caches of the old one must go: so it counts as well.
        content = hashlib.sha256(compiled.stamped(0, 0) + b"".join(sorted(compiled.identities))).digest()
        number = await asyncio.to_thread(self._store.advance, content, above, self._now())
        snapshot = compiled.stamped(number.revision, number.created)
        changed = self._state is None or self._state.revision != number.revision
        self._state = InForce(configuration, stored, compiled, number.revision, snapshot)
        self._store_version = version
        self._metrics.in_force(number.revision)
        if changed:
            log.info("configuration revision %d is in force", number.revision)
            self._wake.set()

    async def _keys_changed(self) -> None:
        async with self._changing:
            await self._put_in_force(self._in_force().configuration)
        await self._until_published(self._settings.visible)

    # ---- the watch --------------------------------------------------------------------------------------------------

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll)
            try:
                if await asyncio.to_thread(self._store.version) != self._store_version:
                    async with self._changing:
                        await self._put_in_force(self._in_force().configuration)
            except DependencyUnavailable as error:
                self._trouble("store", error.message)
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on
                self._fault("store", "the keys cannot be taken over", error)
            else:
                self._well("store")

    async def _watch_file(self, source: ConfigSource) -> None:
        before = b""
        while True:
            await asyncio.sleep(self._settings.poll)
            try:
                seen = await asyncio.to_thread(source.fingerprint)
                if seen == before != self._fingerprint:
                    await self._take(await asyncio.to_thread(source.read))
                before = seen
            except DependencyUnavailable as error:
                self._trouble("storing", error.message)
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on
                self._refuse_unread(source.filename, error)
            else:
                self._well("file")
                self._well("storing")

    def _refuse_unread(self, filename: str, error: Exception) -> None:
        self._fault("file", f"{filename} cannot be taken over", error)
        told = f"{filename}: cannot be taken over because of a fault in OmniRoute ({type(error).__name__}, see the log)"
        self._rejected = (told,)
        # Like no file: it is tried again, and the old text counts as news when it comes back.
        self._fingerprint = b""
        self._metrics.rejected(True)

    async def _take(self, reading: Reading) -> None:
        if reading.configuration is not None:
            async with self._changing:
                await self._put_in_force(reading.configuration)
            self._tell_warnings(reading.configuration)
            if self._rejected:
                log.info("the configuration file is good again")
        elif reading.problems != self._rejected:
            lines = "\n  ".join(reading.problems)
            log.warning("the configuration file is refused, the old one stays in force:\n  %s", lines)
        self._fingerprint, self._rejected = reading.fingerprint, reading.problems
        self._metrics.rejected(bool(reading.problems))

    def _tell_warnings(self, configuration: Configuration) -> None:
        for line in configuration.warnings:
            log.warning("%s", line)

    # ---- publication ------------------------------------------------------------------------------------------------

    async def _publish(self) -> None:
        while True:
            self._wake.clear()
            pause = self._settings.republish
            try:
                await self._publish_once()
            except DependencyUnavailable as error:
                self._metrics.publish_failed()
                self._trouble("nats", error.message)
                pause = self._settings.retry
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on
                self._metrics.publish_failed()
                self._fault("nats", "the configuration cannot be published", error)
                pause = self._settings.retry
            else:
                self._well("nats")
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _publish_once(self) -> None:
        """Make the bucket hold what is in force, under a number greater than any it held."""
        held = await self._bucket.get()
        state = self._in_force()
        if held != state.snapshot:
            if held is not None and (number := _revision(held)) >= state.revision:
                async with self._changing:
                    await self._put_in_force(self._in_force().configuration, above=number)
                state = self._in_force()
            self._metrics.publishing()
            await self._bucket.put(state.snapshot)
            log.info("published configuration revision %d", state.revision)
        async with self._spread:
            self._published = state.revision
            self._spread.notify_all()

    async def _until_published(self, timeout: float) -> None:
        """Give the routers' feed a chance to be as new as the answer; NATS being away is no reason to fail."""
        try:
            async with asyncio.timeout(timeout), self._spread:
                await self._spread.wait_for(lambda: self._published >= self._in_force().revision)
        except TimeoutError:
            log.warning("configuration revision %d is not published yet", self._in_force().revision)

    def _trouble(self, name: str, message: str) -> None:
        if self._troubles.get(name) != message:
            log.warning("%s: %s", name, message)
        self._troubles[name] = message

    def _fault(self, name: str, message: str, error: Exception) -> None:
        """An exception that nobody foresaw: its traceback once, not at every turn of a loop."""
        told = f"{message}: {type(error).__name__}"
        if self._troubles.get(name) != told:
            log.error("%s", told, exc_info=error)
        self._troubles[name] = told

    def _well(self, name: str) -> None:
        self._troubles.pop(name, None)


class _Numbered(msgspec.Struct):
    revision: int


def _revision(snapshot: bytes) -> int:
    """The number of a snapshot that another version of this program may have written; 0 when it has none."""
    try:
        revision = msgspec.json.decode(snapshot, type=_Numbered).revision
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
    return revision if 0 < revision < MAX_REVISION else 0


def check_new(new: NewKey) -> None:
    """Raises ``InvalidRequest`` naming the field that is wrong."""
    if new.name in (apikeys.LOCAL_NAME, ANONYMOUS):
        raise InvalidRequest(f"the name '{new.name}' is taken by the gateway itself", param="name")
    apikeys.check_new(
        name=new.name,
        role=new.role,
        models=new.models,
        requests_per_minute=new.requests_per_minute,
        budget_nano_usd=new.budget_nano_usd,
        budget_window=new.budget_window,
    )


def make_key(new: NewKey, entropy: bytes, pepper: bytes, now: int) -> tuple[StoredKey, str]:
    """A key to store and its secret, shown once."""
    key_id, secret = apikeys.mint(entropy)
    key = StoredKey(
        id=key_id,
        name=new.name,
        role=new.role,
        models=tuple(new.models),
        requests_per_minute=new.requests_per_minute,
        budget_nano_usd=new.budget_nano_usd,
        budget_window=new.budget_window,
        created=now,
        hint=secret[: len("or-") + 8],
        digest=apikeys.stored_digest(pepper, apikeys.presented_digest(secret)),
    )
    return key, secret


def stored_info(key: StoredKey) -> KeyInfo:
    return KeyInfo(
        id=key.id,
        name=key.name,
        role=key.role,
        models=key.models,
        requests_per_minute=key.requests_per_minute,
        budget_nano_usd=key.budget_nano_usd,
        budget_window=key.budget_window,
        managed_by="api",
        created=key.created,
        hint=key.hint,
    )


def policy_info(policy: KeyPolicy) -> KeyInfo:
    """A key of the configuration file."""
    return KeyInfo(
        id=policy.id,
        name=policy.name,
        role=policy.role,
        models=policy.models,
        requests_per_minute=policy.requests_per_minute,
        budget_nano_usd=policy.budget.nano_usd if policy.budget else 0,
        budget_window=policy.budget.window if policy.budget else "month",
        managed_by="file",
        created=0,
    )
