"""What the service needs of the world: a store, a configuration file, and a place to publish to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
from omni_catalogue.logins import Login as ProviderLogin
from omni_core.ports.people import OidcProvider

from omni_auth.domain.apikeys import StoredKey
from omni_auth.domain.applied_keys import HeldKeys, KeyStep
from omni_auth.domain.audit import Entry, Verdict
from omni_auth.domain.configuration import Configuration
from omni_auth.domain.entities import DEFAULT_ORGANISATION, Entity
from omni_auth.domain.logins.calls import Asked, ClientId
from omni_auth.domain.logins.flow import Flow as ProviderFlow
from omni_auth.domain.logins.steps import Answered
from omni_auth.domain.logins.stored import Leased, StoredLogin
from omni_auth.domain.logins.tokens import Grant, Tokens
from omni_auth.domain.objects import Held
from omni_auth.domain.oidc import Flow as OidcFlow
from omni_auth.domain.oidc import Identified
from omni_auth.domain.own_keys import OwnKeys
from omni_auth.domain.people import Login, OneTime, Session
from omni_auth.domain.planning import Step
from omni_auth.domain.sections.base import SecretSource
from omni_auth.domain.sections.logins import OidcSection
from omni_auth.domain.whole import Fetch


class Publication(msgspec.Struct, frozen=True):
    """A numbered content; ``created`` in epoch seconds."""

    revision: int
    created: int


class Reading(msgspec.Struct, frozen=True):
    """One attempt to read the configuration file: ``configuration``, or why there is none.

    ``fingerprint`` is of the bytes that were read, secret files included.
    """

    fingerprint: bytes
    configuration: Configuration | None
    problems: tuple[str, ...] = ()


class ConfigSource(Protocol):
    """The configuration file. Both calls block."""

    filename: str

    def fingerprint(self) -> bytes:
        """Of the file and the secret files it last named, as they are now."""
        ...

    def read(self) -> Reading:
        """Never raises: what is wrong is in ``problems``."""
        ...


class KeyStore(Protocol):
    """Keys and the last publication on disk. Every call blocks and raises ``DependencyUnavailable``."""

    def open(self) -> None: ...

    def close(self) -> None: ...

    def pepper(self) -> bytes: ...

    def stored_keys(self) -> list[StoredKey]:
        """Those in force."""
        ...

    def revoked_keys(self, organisation: str) -> list[StoredKey]: ...

    def insert(self, key: StoredKey, actor: str = "api") -> None:
        """``actor`` is who does it, for the audit log; "api" is whoever calls AuthPort.
        Raises ``InvalidRequest`` when the name is taken."""
        ...

    def rotate(self, key: StoredKey, replaces: bytes, now: int, actor: str = "api") -> bool:
        """Take over the secrets of ``key``; whether it is in force and its newest was ``replaces`` still."""
        ...

    def revoke(self, key_id: str, now: int, actor: str = "api") -> bool:
        """Whether it was there and in force."""
        ...

    def version(self) -> int:
        """Another number after every change, whichever process made it."""
        ...

    def advance(self, content: bytes, above: int, now: int, since: int | None = None) -> Publication | None:
        """The number of ``content`` (a digest): the last one if it is unchanged and greater than ``above``, else the
        next that is; none where it would be a new one and the store's ``version`` is not ``since`` any more."""
        ...


class Change(msgspec.Struct, frozen=True):
    """One row of the outbox: what was done to what, at epoch ms ``at``. ``seq`` has no gaps."""

    seq: int
    at: int
    organisation: str
    kind: str
    target: str
    action: str


class Page(msgspec.Struct, frozen=True):
    """``next`` is where the page after this one begins; "" after the last."""

    items: tuple[Entity, ...]
    next: str


class EntityStore(Protocol):
    """Entities of one kind. Every call blocks and raises ``DependencyUnavailable``. ``now`` in epoch ms.

    ``expected`` is the version a change is made to (If-Match), 0 for none there yet, None for whichever it is; another
    one there raises ``InvalidRequest`` with status 412. What is taken or in use is status 409."""

    def get(self, organisation: str, entity_id: str) -> Entity | None: ...

    def list(self, organisation: str, *, after: str = "", limit: int = 100, **relations: str) -> Page:
        """By id, which is by age. ``after`` is the ``next`` of the page before."""
        ...

    def put(self, entity: Entity, *, expected: int | None, now: int, actor: str) -> Entity:
        """As it is now: with its version and times. What is there already stays as it is, version and all."""
        ...

    def delete(self, organisation: str, entity_id: str, *, expected: int | None, now: int, actor: str) -> bool:
        """Whether it was there."""
        ...


class ObjectStore(Protocol):
    """All entities that an organisation sees, and their changes. Every call blocks and raises
    ``DependencyUnavailable``."""

    def held(self, organisation: str = DEFAULT_ORGANISATION) -> Held: ...

    def limits(self) -> Held:
        """Those of every organisation, with teams, users and keys that they may be of."""
        ...

    def change(
        self,
        organisation: str,
        decide: Callable[[Held], Sequence[Step]],
        *,
        now: int,
        actor: str,
        dry_run: bool = False,
        decide_keys: Callable[[HeldKeys], Sequence[KeyStep]] | None = None,
    ) -> tuple[Held, list[Step]]:
        """What was held, and the steps as they were made, in one transaction that ``decide`` and ``decide_keys`` are
        asked in: nothing is written when one raises. ``now`` in epoch ms."""
        ...

    def last_change(self) -> int:
        """The number of the newest change; 0 before the first."""
        ...

    def told(self, change: int) -> None:
        """Everybody may know what changed up to that one."""
        ...


class AuditReader(Protocol):
    """What was done. Every call blocks and raises ``DependencyUnavailable``."""

    def note(
        self, at: int, organisation: str, actor: str, action: str, target: str, before: object, after: object
    ) -> None:
        """What somebody does elsewhere; ``at`` in epoch ms, ``before`` and ``after`` documents."""
        ...

    def newest(self, limit: int = 100, before: int = 0, organisation: str = "") -> list[Entry]:
        """Newest first; where they are given, those with numbers below ``before`` and of that ``organisation``."""
        ...

    def verify(self, expected: str = "") -> Verdict:
        """See ``omni_auth.domain.audit.verify``."""
        ...


class StoreSecrets(Protocol):
    """The secrets of the store's accounts, and others that are named as theirs are. Every call blocks."""

    def named(self, source: SecretSource) -> str:
        """Looked up once, in the environment or a file. Raises ``SecretUnreadable``."""
        ...

    def fetch(self, held: Held, pending: Mapping[str, str], keys: OwnKeys) -> Fetch:
        """``pending`` are secrets that are about to be sealed, by account id. What is the gateway's own, ``keys`` among
        it, is not to be had."""
        ...

    def moved(self) -> bool:
        """Whether one that was fetched may be another now."""
        ...


class Noted(msgspec.Struct, frozen=True):
    """What the audit log is told of a change."""

    actor: str
    action: str


Decide = Callable[[Login, tuple[Login, ...]], Login]


class PeopleStore(Protocol):
    """Logins, sessions, one-time tokens and tries. Every call blocks, is one transaction, and raises
    ``DependencyUnavailable``. Digests are SHA-256 of tokens; times in epoch ms."""

    def all(self, organisation: str) -> tuple[Login, ...]: ...

    def find(self, organisation: str, name: str) -> Login | None: ...

    def has_owner(self) -> bool: ...

    def asks_for_totp(self, organisation: str) -> bool:
        """Whether everybody of an organisation is asked for a second factor."""
        ...

    def offer_setup(self, digest: bytes, expires: int, now: int, *, renew: bool) -> bool: ...

    def token(self, digest: bytes, now: int) -> OneTime | None: ...

    def redeem(
        self, digest: bytes, now: int, decide: Callable[[OneTime, Login | None], Login], session: tuple[bytes, Session]
    ) -> Login: ...

    def invite(self, login: Login, digest: bytes, expires: int, now: int, actor: str) -> Login: ...

    def change(
        self,
        organisation: str,
        login_id: str,
        decide: Decide,
        *,
        note: Noted,
        now: int,
        end: bool = True,
        token: tuple[bytes, str, int] | None = None,
    ) -> Login: ...

    def remove(
        self, organisation: str, login_id: str, check: Callable[[Login, tuple[Login, ...]], None], now: int, actor: str
    ) -> Login: ...

    def log_in(
        self,
        login_id: str,
        tried: Sequence[str],
        session: tuple[bytes, Session],
        now: int,
        replaces: bytes = b"",
        decide: Callable[[Login], Login] = ...,
    ) -> Login: ...

    def refused(self, login: Login | None, address: str, why: str, now: int) -> None: ...

    def begin_flow(self, digest: bytes, flow: OidcFlow, expires: int, now: int) -> None: ...

    def end_flow(self, digest: bytes, now: int) -> OidcFlow | None: ...

    def come_in(
        self,
        found: Identified,
        organisation: str,
        decide: Callable[[Login | None], Login],
        session: tuple[bytes, Session],
        now: int,
    ) -> Login: ...

    def who(self, digest: bytes, now: int) -> tuple[Login, Session] | None: ...

    def knows(self, digest: bytes, login_id: str) -> bool: ...

    def sessions(self, login_id: str, now: int) -> list[Session]: ...

    def end(self, login: Login, now: int, *, only: str = "", but: str = "", actor: str = "") -> int: ...

    def attempt(self, subjects: Sequence[str], now: int) -> None: ...

    def seal_totp(self, login: Login, secret: str, now: int) -> None: ...

    def totp(self, login_id: str) -> str: ...


class Oidc(Protocol):
    """Log-ins at OpenID providers. All raise ``Unauthenticated``."""

    def offered(self) -> tuple[OidcProvider, ...]: ...

    def section(self, provider: str) -> OidcSection: ...

    async def address(self, flow: OidcFlow, state: str) -> str: ...

    async def identified(self, flow: OidcFlow, code: str) -> Identified: ...


class Passwords(Protocol):
    """How passwords are kept; see ``omni_auth.adapters.passwords``."""

    async def hashed(self, password: str) -> str: ...

    async def matches(self, stored: str, password: str) -> bool: ...

    def is_old(self, stored: str) -> bool: ...

    def close(self) -> None: ...


class InBucket(msgspec.Struct, frozen=True):
    """What is published: ``snapshot``, empty when there is none or none whose signature is believed; then ``fault``
    says why. ``is_current`` is whether it is signed as one would be now, and not with an older key."""

    snapshot: bytes = b""
    fault: str = ""
    is_current: bool = True


class SnapshotBucket(Protocol):
    """Where snapshots are published, signed. Raises ``DependencyUnavailable``."""

    async def get(self) -> InBucket: ...

    async def put(self, snapshot: bytes) -> None: ...


class AuthMetrics(Protocol):
    def authenticated(self, ok: bool) -> None: ...

    def in_force(self, revision: int) -> None: ...

    def rejected(self, is_rejected: bool) -> None: ...

    def publishing(self) -> None:
        """The snapshot in force is about to be put into the bucket."""
        ...

    def publish_failed(self) -> None: ...

    def not_ours(self) -> None:
        """Somebody else has written into the bucket."""
        ...


class LoginStore(Protocol):
    """Logins with their tokens, and logins under way. Every call blocks and raises ``DependencyUnavailable``. Times are
    epoch ms, and so is ``now``; leases go by the database's own clock."""

    def all(self) -> list[StoredLogin]:
        """By id, without tokens."""
        ...

    def get(self, login_id: str) -> StoredLogin | None: ...

    def connect(self, kind: str, name: str, grant: Grant, *, ends: int, now: int, actor: str) -> StoredLogin:
        """In place of what the same person had, under the name it had. Raises ``InvalidRequest`` (409) where the name
        is another person's."""
        ...

    def forget(self, login_id: str, now: int, actor: str) -> bool:
        """Whether it was there."""
        ...

    def lease(self, login_id: str, version: int, lasts: int) -> Leased | None:
        """The right to renew it for ``lasts`` ms, and the mark that this has begun, if its tokens are of that version
        still and nobody else has it; None where there is no such login."""
        ...

    def keep(self, login_id: str, fence: int, tokens: Tokens, *, ends: int, now: int, done: bool) -> StoredLogin | None:
        """The next tokens, if the lease of that fence is the newest; else None, and nothing is changed. The lease ends
        when it is ``done``."""
        ...

    def give_back(self, login_id: str, fence: int) -> None:
        """The lease, with nothing won; the mark stays."""
        ...

    def close_login(self, login_id: str, fence: int, reason: str, now: int) -> bool:
        """Nobody gets its tokens from now on; ``reason`` is for people. Whether the lease is the newest."""
        ...

    def put_flow(self, flow: ProviderFlow) -> None: ...

    def take_flow(self, flow_id: str, now: int) -> ProviderFlow | None:
        """That one, which is then gone: it is finished once. None where there is none, or it is over."""
        ...

    def look_flow(self, flow_id: str, now: int) -> ProviderFlow | None: ...

    def turn(self, flow_id: str, now: int, gap: int) -> int:
        """0, if a device's code may be asked about now, and then not again for ``gap`` ms; else the ms until then."""
        ...

    def sweep(self, now: int) -> None:
        """Forget flows that are over."""
        ...


class LoginCatalogue(Protocol):
    """The logins that there are, with what the operator says of them."""

    @property
    def logins(self) -> Mapping[str, ProviderLogin]: ...

    def client(self, login: ProviderLogin) -> ClientId:
        """Raises ``InvalidRequest`` where a secret is needed and not given; says which."""
        ...


class LoginWeb(Protocol):
    async def fetch(self, asked: Asked, *, allow_private: bool, within: float, login_id: str = "") -> Answered:
        """By the ways out of the accounts that use the login, else those of all. Raises an ``UpstreamError``, or
        ``CredentialUnavailable`` where a proxy's password cannot be had."""
        ...


class LoginMetrics(Protocol):
    def states(self, counts: Mapping[str, int]) -> None:
        """How many logins are in which state."""
        ...

    def renewed(self, result: str) -> None:
        """One renewal: "renewed", "failed" (and tried again), "closed" or "overtaken"."""
        ...


class Chance(Protocol):
    """Cryptographic randomness."""

    def __call__(self, size: int, /) -> bytes: ...
