"""What the service needs of the world: a store, a configuration file, and a place to publish to."""

from typing import Protocol

import msgspec

from omni_auth.domain.apikeys import StoredKey
from omni_auth.domain.configuration import Configuration


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

    def stored_keys(self) -> list[StoredKey]: ...

    def insert(self, key: StoredKey) -> None:
        """Raises ``InvalidRequest`` when the name is taken."""
        ...

    def revoke(self, key_id: str, now: int) -> bool:
        """Whether it was there and in force."""
        ...

    def version(self) -> int:
        """Another number after every change, whichever process made it."""
        ...

    def advance(self, content: bytes, above: int, now: int) -> Publication:
        """The number of ``content`` (a digest): the last one if it is unchanged and greater than ``above``, else the
        next that is."""
        ...


class SnapshotBucket(Protocol):
    """Where snapshots are published. Raises ``DependencyUnavailable``."""

    async def get(self) -> bytes | None: ...

    async def put(self, snapshot: bytes) -> None: ...


class AuthMetrics(Protocol):
    def authenticated(self, ok: bool) -> None: ...

    def in_force(self, revision: int) -> None: ...

    def rejected(self, is_rejected: bool) -> None: ...

    def publishing(self) -> None:
        """The snapshot in force is about to be put into the bucket."""
        ...

    def publish_failed(self) -> None: ...


class Chance(Protocol):
    """Cryptographic randomness."""

    def __call__(self, size: int, /) -> bytes: ...
