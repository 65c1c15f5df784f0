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
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
from omni_catalogue.proxies import Egress
from omni_core.component import Check, ConfigState
from omni_core.ports.audit import AuditEntry, AuditPage, AuditVerdict
from omni_core.ports.auth import Configuration as PublishedConfiguration
from omni_core.ports.auth import CreatedKey, Credential, Identity, KeyInfo, NewKey
from omni_core.ports.configuration import ANYBODY, Caller
from omni_core.ports.context import CallContext
from omni_wire.errors import CredentialUnavailable, DependencyUnavailable, InvalidRequest, Unauthenticated

from omni_auth.configuring import MOST, Configuring, refuse_guests
from omni_auth.domain import apikeys, applied_keys, sharing, whole
from omni_auth.domain.apikeys import StoredKey
from omni_auth.domain.audit import Entry
from omni_auth.domain.compilation import Compiled, DemoProvider, compile_snapshot
from omni_auth.domain.configuration import Configuration, empty
from omni_auth.domain.entities import DEFAULT_ORGANISATION
from omni_auth.domain.objects import Held
from omni_auth.domain.own_keys import OwnKeys, own_keys
from omni_auth.domain.problems import ConfigErrors
from omni_auth.domain.secrecy import secret_version
from omni_auth.domain.sections.logins import OidcSection
from omni_auth.keys import changed_meanwhile, check_new, make_key, policy_info, stored_info
from omni_auth.logins.answering import LoggingIn
from omni_auth.logins.flows import Flows
from omni_auth.logins.renewing import Renewing
from omni_auth.ports import (
    AuditReader,
    AuthMetrics,
    Chance,
    ConfigSource,
    KeyStore,
    ObjectStore,
    Reading,
    SnapshotBucket,
    StoreSecrets,
)
from omni_auth.settings import AuthSettings

log = logging.getLogger("omniroute.auth")

MAX_REVISION = 1 << 53
READINGS = 5


class InForce(msgspec.Struct, frozen=True):
    """What answers are given from. ``file`` is the configuration file, ``configuration`` that and what the store has
    as one, ``change`` the newest change of the store in it; ``guests`` are the keys of other organisations than the
    platform's, each with its own; ``owners`` are the teams and users of all; ``snapshot`` is what is published."""

    file: Configuration
    configuration: Configuration
    pepper: bytes
    stored: tuple[StoredKey, ...]
    guests: dict[str, str]
    owners: Held
    compiled: Compiled
    revision: int
    snapshot: bytes
    change: int

    def __repr__(self) -> str:
        return f"InForce(revision={self.revision})"

    def of(self, organisation: str) -> tuple[StoredKey, ...]:
        """Its keys. Those of the file are the platform's."""
        return tuple(key for key in self.stored if key.organisation == organisation)

    def organisation(self, key_id: str) -> str:
        return self.guests.get(key_id, DEFAULT_ORGANISATION)

    def file_names(self, organisation: str) -> tuple[str, ...]:
        """Names of its keys of the file, all of which are the platform's."""
        own = self.configuration.config.keys if organisation == DEFAULT_ORGANISATION else ()
        return tuple(key.name for key in own if key.name not in self.compiled.aside)


class AuthService(Configuring, LoggingIn):
    """AuthPort, AuditPort, as ``Configuring`` ConfigurationPort and as ``LoggingIn`` LoginPort, and the loops. ``now``
    gives epoch seconds."""

    def __init__(
        self,
        *,
        store: KeyStore,
        objects: ObjectStore,
        audit: AuditReader,
        secrets: StoreSecrets,
        source: ConfigSource | None,
        bucket: SnapshotBucket,
        metrics: AuthMetrics,
        settings: AuthSettings,
        now: Callable[[], int],
        chance: Chance,
        mint: Callable[[], str],
        logins: Callable[[Callable[[], Mapping[str, tuple[str, ...]]]], tuple[Flows, Renewing]],
        demo: DemoProvider | None = None,
    ) -> None:
        super().__init__(objects, secrets, mint=mint, now=lambda: now() * 1000)
        self._store, self._source, self._bucket, self._metrics = store, source, bucket, metrics
        self._audit = audit
        self._settings, self._now, self._chance, self._demo = settings, now, chance, demo
        self._flows, self._renewing = logins(self._accounts_by_login)
        self._left_out: tuple[str, ...] = ()
        self._state: InForce | None = None
        self._store_version = -1
        self._fingerprint = b""
        self._rejected: tuple[str, ...] = ()
        self._published = self._told = 0
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
        await asyncio.to_thread(self._store.open)
        try:
            await self._begin()
        except BaseException:
            await asyncio.to_thread(self._store.close)
            raise
        self._tasks = [
            asyncio.create_task(loop) for loop in (self._watch_keys(), self._publish(), self._watch_logins())
        ]
        if self._source is not None:
            self._tasks.append(asyncio.create_task(self._watch_file(self._source)))
        await self._until_published(self._settings.first_publication)

    async def _begin(self) -> None:
        file = empty()
        if self._source is not None:
            reading = await asyncio.to_thread(self._source.read)
            if reading.configuration is None:
                raise ConfigErrors(reading.problems)
            self._fingerprint, file = reading.fingerprint, reading.configuration
        self._metrics.rejected(False)
        async with self._changing:
            await self._put_in_force(file)
        self._tell_warnings()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._renewing.close()
        await asyncio.to_thread(self._store.close)

    def checks(self) -> dict[str, Check]:
        detail = f"revision {self._state.revision}" if self._state else "not started"
        if self._rejected:
            detail += "; the newer file is refused, see the log or /api/system"  # whoever probes may not read it
        return {
            "config": Check(self._state is not None, detail),
            "store": self._check("store", "storing"),
            "nats": self._bucket_check(),
            "logins": self._logins_check(),
        }

    def config_state(self) -> ConfigState:
        """What it has in force itself. A file that is refused has no number yet."""
        return ConfigState(self._state.revision if self._state else 0, 0, "; ".join(self._rejected))

    def _bucket_check(self) -> Check:
        """Once something is published, NATS being away keeps nobody from asking us, and everybody else from asking
        at all were we to call ourselves not ready."""
        told = self._troubles.get("nats", "")
        return Check(not told or self._published > 0, told and f"revision {self._published} is published; {told}")

    def _logins_check(self) -> Check:
        """Who has to log in again. It keeps nobody from working with all else."""
        told = self._troubles.get("logins", "")
        return Check(True, "; ".join((*self._renewing.notices(), *([told] if told else []))))

    def _check(self, *names: str) -> Check:
        told = next((self._troubles[name] for name in names if name in self._troubles), "")
        return Check(not told, told)

    # ---- AuthPort ---------------------------------------------------------------------------------------------------

    async def authenticate(self, context: CallContext, key_digest: bytes) -> Identity:
        state = self._in_force()
        policy = state.compiled.identities.get(apikeys.stored_digest(state.pepper, key_digest))
        if policy is not None and policy.scopes.has_expired(self._now()):
            policy = None
        self._metrics.authenticated(policy is not None)
        if policy is None:
            raise Unauthenticated("The API key is wrong: there is no such key, it was revoked, or it has expired.")
        return Identity(policy.id, policy.name, policy.role, policy.scopes, self._in_force().organisation(policy.id))

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        account = self._in_force().compiled.accounts.get(account_id)
        if account is None:
            raise CredentialUnavailable(f"there is no account '{account_id}' in the configuration in force")
        if account.login:
            return await self._renewing.credential(account.login)
        return Credential(account.secret, account.version)

    async def refresh_credential(self, context: CallContext, account_id: str, version_seen: str) -> Credential:
        account = self._in_force().compiled.accounts.get(account_id)
        if account is None or not account.login:
            return await self.credential(context, account_id)
        return await self._renewing.refused(account.login, version_seen)

    def _accounts_by_login(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for account_id, account in self._in_force().compiled.accounts.items():
            if account.login:
                found[account.login] = (*found.get(account.login, ()), account_id)
        return found

    def ways_of_login(self, login_id: str) -> tuple[Egress, ...]:
        """As the calls of the first account that uses it go out; where none does, as those of all."""
        content = self._in_force().compiled.content
        users = self._accounts_by_login().get(login_id, ())
        accounts = (account for provider in content.providers for account in provider.accounts)
        return next((account.egress for account in accounts if account.id in users), content.egress)

    def proxy_secret(self, proxy_id: str) -> str:
        """Raises ``CredentialUnavailable``."""
        found = self._in_force().compiled.accounts.get(proxy_id)
        if found is None:
            raise CredentialUnavailable(f"there is no proxy '{proxy_id}' in the configuration in force")
        return found.secret

    async def configuration(self) -> PublishedConfiguration:
        state = self._in_force()
        told = (*self._rejected, *self._left_out, *self._renewing.notices())
        return PublishedConfiguration(state.revision, state.snapshot, "\n".join(told))

    async def create_key(self, new: NewKey, caller: Caller = ANYBODY) -> CreatedKey:
        state = self._in_force()
        check_new(new, self._now())
        apikeys.refuse_taken(new.name, state.of(caller.organisation), state.file_names(caller.organisation))
        pepper = await asyncio.to_thread(self._store.pepper)
        held = await asyncio.to_thread(self._objects.held, caller.organisation)
        chance = self._chance(apikeys.ENTROPY_BYTES)
        key, secret = make_key(new, chance, pepper, self._now(), held, caller.organisation)
        await asyncio.to_thread(self._store.insert, key, caller.actor)
        await self._store_changed()
        return CreatedKey(stored_info(key, held), secret)

    async def list_keys(self, caller: Caller = ANYBODY, *, revoked: bool = False) -> list[KeyInfo]:
        state = self._in_force()
        if revoked:
            gone = await asyncio.to_thread(self._store.revoked_keys, caller.organisation)
            return [stored_info(key, state.owners) for key in gone]
        ids = set(map(apikeys.file_key_id, state.file_names(caller.organisation)))
        from_file = [policy for policy in state.compiled.content.keys if policy.id in ids]
        stored = [stored_info(key, state.owners) for key in state.of(caller.organisation)]
        return [*map(policy_info, from_file), *stored]

    async def rotate_key(self, key: str, overlap: int, caller: Caller = ANYBODY) -> CreatedKey:
        found = self._find(key, caller)
        chance = self._chance(apikeys.ENTROPY_BYTES)
        pepper = await asyncio.to_thread(self._store.pepper)
        renewed, secret = apikeys.rotated(found, chance, pepper, overlap, self._now())
        if not await asyncio.to_thread(self._store.rotate, renewed, found.digest, self._now(), caller.actor):
            raise changed_meanwhile(key)
        await self._store_changed()
        return CreatedKey(stored_info(renewed, self._in_force().owners), secret)

    async def revoke_key(self, key: str, caller: Caller = ANYBODY) -> KeyInfo:
        found = self._find(key, caller)
        live = self._live()
        apikeys.refuse_revoking(found, (one.name for one in live.config.keys), live.filename)
        if not await asyncio.to_thread(self._store.revoke, found.id, self._now(), caller.actor):
            raise apikeys.unknown(key)
        await self._store_changed()
        return stored_info(found, self._in_force().owners)

    def _find(self, key: str, caller: Caller) -> StoredKey:
        state = self._in_force()
        in_file = state.file_names(caller.organisation)
        return apikeys.find(key, state.of(caller.organisation), in_file, state.configuration.filename)

    def oidc(self) -> tuple[tuple[OidcSection, str], ...]:
        """The OpenID providers of the configuration in force, each with its secret."""
        found = self._in_force().configuration
        listed = enumerate(found.config.logins.oidc)
        return tuple((one, found.secrets["logins", "oidc", at, "client_secret"]) for at, one in listed)

    # ---- AuditPort --------------------------------------------------------------------------------------------------

    async def list_audit(
        self, caller: Caller, *, organisation: str = "", before: int = 0, limit: int = 100
    ) -> AuditPage:
        whose = organisation if caller.organisation == DEFAULT_ORGANISATION else caller.organisation
        limit = max(1, min(limit, MOST))
        found = await asyncio.to_thread(self._audit.newest, limit + 1, before, whose)
        shown = found[:limit]
        return AuditPage(tuple(map(_told, shown)), shown[-1].seq if len(found) > limit else 0)

    async def verify_audit(self, caller: Caller, head: str = "") -> AuditVerdict:
        refuse_guests(caller, "the audit log as a whole is")
        found = await asyncio.to_thread(self._audit.verify, head)
        return AuditVerdict(found.entries, found.head, found.bad or 0, found.why)

    async def record_audit(self, caller: Caller, action: str, target: str, before: str = "", after: str = "") -> None:
        try:
            documents = [msgspec.json.decode(said) if said else None for said in (before, after)]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"what is to be written down is not JSON: {error}") from error
        note = partial(self._audit.note, self._now() * 1000, caller.organisation, caller.actor, action, target)
        await asyncio.to_thread(note, *documents)

    # ---- what is in force -------------------------------------------------------------------------------------------

    def _in_force(self) -> InForce:
        if self._state is None:
            raise DependencyUnavailable("auth has not started yet")
        return self._state

    async def _put_in_force(self, file: Configuration, above: int = 0) -> None:
        """Compile, number and switch over; an unchanged content keeps its number. Called with the lock held.

        What the store has is read in several steps, and other processes change it meanwhile: then all is read again,
        so that nothing older gets a greater number than what another auth has made of the change. Some times at most:
        who changes it all the time keeps nobody from working with a little older."""
        for left in reversed(range(READINGS)):
            if await self._was_put_in_force(file, above, anyway=not left):
                return

    async def _was_put_in_force(self, file: Configuration, above: int, *, anyway: bool) -> bool:
        version = await asyncio.to_thread(self._store.version)
        change = await asyncio.to_thread(self._objects.last_change)
        pepper = await asyncio.to_thread(self._store.pepper)  # another installation's, after a restore
        stored = tuple(await asyncio.to_thread(self._store.stored_keys))
        own = own_keys(file, stored, pepper)
        configuration, left_out = await asyncio.to_thread(self._whole, file, own)
        held = await asyncio.to_thread(self._objects.limits)
        limits, untold = sharing.of_store(held)
        left_out = (*left_out, *untold)
        compiled = await asyncio.to_thread(compile_snapshot, configuration, stored, pepper, self._demo, limits)
        aside = tuple(applied_keys.aside(file.filename, name) for name in compiled.aside)
        configuration = msgspec.structs.replace(configuration, warnings=(*configuration.warnings, *aside))
        # A key's new secret changes no byte of the snapshot, yet caches of the old one must go: so it counts as well.
        content = hashlib.sha256(compiled.stamped(0, 0) + b"".join(sorted(compiled.identities))).digest()
        if left_out and not anyway and await asyncio.to_thread(self._store.version) != version:
            return False
        since = None if anyway else version
        number = await asyncio.to_thread(self._store.advance, content, above, self._now(), since)
        if number is None:
            return False
        snapshot = compiled.stamped(number.revision, number.created)
        guests = {key.id: key.organisation for key in stored if key.organisation != DEFAULT_ORGANISATION}
        changed = self._state is None or self._state.revision != number.revision
        self._state = InForce(
            file, configuration, pepper, stored, guests, held, compiled, number.revision, snapshot, change
        )
        self._store_version = version
        self._metrics.in_force(number.revision)
        if left_out != self._left_out:
            for line in left_out:
                log.warning("%s", line)
        self._left_out = left_out
        if changed:
            log.info("configuration revision %d is in force", number.revision)
            self._wake.set()
        return True

    def _whole(self, file: Configuration, keys: OwnKeys) -> tuple[Configuration, tuple[str, ...]]:
        """Blocking. Raises ``ConfigErrors``."""
        held = self._objects.held()
        return whole.usable(file, held, self._secrets.fetch(held, {}, keys))

    async def _store_changed(self) -> None:
        """Put what the store has now into force, and give routers a chance to know it."""
        async with self._changing:
            await self._put_in_force(self._in_force().file)
        await self._until_published(self._settings.visible)

    def _live(self) -> Configuration:
        return self._in_force().file

    def _secret_version(self, account_id: str, secret: str) -> str:
        return secret_version(self._in_force().pepper, account_id, secret)

    def _pepper(self) -> bytes:
        return self._store.pepper()

    def _stored_keys(self) -> Sequence[StoredKey]:
        return self._store.stored_keys()

    def _number(self) -> int:
        return self._in_force().revision

    # ---- the watch --------------------------------------------------------------------------------------------------

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll)
            try:
                moved = await asyncio.to_thread(self._secrets.moved)
                if moved or await asyncio.to_thread(self._store.version) != self._store_version:
                    async with self._changing:
                        await self._put_in_force(self._in_force().file)
                await self._tell_store()
            except DependencyUnavailable as error:
                self._trouble("store", error.message)
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on
                self._fault("store", "the keys cannot be taken over", error)
            else:
                self._well("store")

    async def _tell_store(self) -> None:
        """Once what is in force is published, the outbox need not keep its changes."""
        state = self._in_force()
        if self._published >= state.revision and state.change > self._told:
            await asyncio.to_thread(self._objects.told, state.change)
            self._told = state.change

    async def _watch_logins(self) -> None:
        while True:
            try:
                await self._renewing.look()
            except DependencyUnavailable as error:
                self._trouble("logins", error.message)
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on
                self._fault("logins", "logins cannot be looked after", error)
            else:
                self._well("logins")
            await asyncio.sleep(self._settings.login_look)

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
        problems = reading.problems
        if reading.configuration is not None:
            try:
                async with self._changing:
                    await self._put_in_force(reading.configuration)
            except ConfigErrors as error:  # it does not fit what the store has
                problems = error.problems
            else:
                self._tell_warnings()
                if self._rejected:
                    log.info("the configuration file is good again")
        if problems and problems != self._rejected:
            lines = "\n  ".join(problems)
            log.warning("the configuration file is refused, the old one stays in force:\n  %s", lines)
        self._fingerprint, self._rejected = reading.fingerprint, problems
        self._metrics.rejected(bool(problems))

    def _tell_warnings(self) -> None:
        for line in self._in_force().configuration.warnings:
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
        """Make the bucket hold what is in force, signed, under a number greater than any that we published there.

        A number that we have not signed counts for nothing: nobody has it in force, and whoever wrote it may want ours
        to come to their end."""
        held = await self._bucket.get()
        state = self._in_force()
        if held.fault:
            self._metrics.not_ours()
            log.error("%s; it is replaced by revision %d", held.fault, state.revision)
        if held.snapshot != state.snapshot and _revision(held.snapshot) >= state.revision:
            state = await self._overtake(held.snapshot)
        if held.snapshot != state.snapshot or not held.is_current:
            self._metrics.publishing()
            await self._bucket.put(state.snapshot)
            log.info("published configuration revision %d", state.revision)
        async with self._spread:
            self._published = state.revision
            self._spread.notify_all()

    async def _overtake(self, held: bytes) -> InForce:
        """What is in force once ``held`` is taken into account: the same, where another auth on our store has made it
        of what is there now; else ours under a greater number."""
        async with self._changing:
            await self._put_in_force(self._in_force().file)
            state, number = self._in_force(), _revision(held)
            if state.snapshot != held and state.revision <= number:
                await self._put_in_force(state.file, above=number)
        return self._in_force()

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


def _told(entry: Entry) -> AuditEntry:
    fields = msgspec.structs.asdict(entry)
    return AuditEntry(number=fields.pop("seq"), **fields)


class _Numbered(msgspec.Struct):
    revision: int


def _revision(snapshot: bytes) -> int:
    """The number of a snapshot that another version of this program may have written; 0 when it has none."""
    try:
        revision = msgspec.json.decode(snapshot, type=_Numbered).revision
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
    return revision if 0 < revision < MAX_REVISION else 0
