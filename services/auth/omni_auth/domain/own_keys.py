"""The keys of this gateway, told from the credentials of providers: none is ever the other."""

from collections.abc import Iterable, Sequence

import msgspec

from omni_auth.domain.apikeys import StoredKey, presented_digest, stored_digest
from omni_auth.domain.applied_keys import Said
from omni_auth.domain.configuration import Configuration
from omni_auth.domain.sections.base import SecretSource


class OwnKeys(msgspec.Struct, frozen=True):
    """``sources`` are where ``keys:`` of a file find their secrets; ``digests`` are those of every key."""

    sources: tuple[SecretSource, ...]
    digests: frozenset[bytes]
    pepper: bytes

    def __repr__(self) -> str:
        return f"OwnKeys({len(self.digests)})"

    def opens(self, secret: str) -> bool:
        """Whether it is a key to this gateway."""
        return stored_digest(self.pepper, presented_digest(secret)) in self.digests

    def also(self, wanted: Sequence[Said]) -> "OwnKeys":
        """With those that a file says that is about to be applied."""
        sources = (*self.sources, *(one.section.secret for one in wanted))
        return OwnKeys(sources, self.digests.union(one.digest for one in wanted), self.pepper)


def own_keys(live: Configuration, stored: Iterable[StoredKey], pepper: bytes) -> OwnKeys:
    """Those of the live file and of the store."""
    of_file = [secret for loc, secret in live.secrets.items() if loc[0] == "keys"]
    digests = {stored_digest(pepper, presented_digest(secret)) for secret in of_file}
    digests |= {digest for key in stored for digest in (key.digest, *(older.digest for older in key.older))}
    return OwnKeys(tuple(key.secret for key in live.config.keys), frozenset(digests), pepper)
