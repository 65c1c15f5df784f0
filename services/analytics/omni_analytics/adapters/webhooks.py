"""Who is told of limits: the environment's webhook, and those of the configuration in force."""

from collections.abc import Callable, Sequence
from typing import Protocol

from omni_catalogue import notify
from omni_catalogue.notify import key_of
from omni_catalogue.snapshot import Snapshot
from omni_core.ids import new_id
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_core.redaction import keep_secret
from omni_wire.errors import CredentialUnavailable, InvalidRequest

from omni_analytics.domain.notices import OWN, Webhook
from omni_analytics.domain.reached import Reached


class Credentials(Protocol):
    """As much of AuthPort as it takes."""

    async def credential(self, context: CallContext, account_id: str) -> Credential: ...


class Webhooks:
    """``own`` is the environment's; those of ``current`` are there while ``auth`` is, which has their secrets."""

    def __init__(
        self, own: Webhook | None, current: Callable[[], Snapshot | None], auth: Credentials | None = None
    ) -> None:
        self._own, self._current, self._auth = own, current, auth
        self._keys: dict[str, tuple[str, bytes]] = {}  # by name: the version, and the key

    def names(self) -> tuple[str, ...]:
        return (*((OWN,) if self._own is not None else ()), *(each.name for each in self._configured()))

    def recipients(self, reached: Reached) -> tuple[str, ...]:
        """The names of those who are to be told of it."""
        own = (OWN,) if self._own is not None else ()
        wanted = [each.name for each in self._configured() if each.wants(reached.organisation, reached.percent)]
        return (*own, *wanted)

    async def find(self, name: str) -> Webhook:
        """As it is now, with its key. Raises ``CredentialUnavailable``, and what auth raises."""
        if name == OWN and self._own is not None:
            return self._own
        found = next((each for each in self._configured() if each.name == name), None)
        if found is None:
            raise CredentialUnavailable("it is not in the configuration in force")
        return Webhook(found.url, await self._key(found), found.allow_private)

    async def _key(self, webhook: notify.Webhook) -> bytes:
        version, key = self._keys.get(webhook.name, ("", b""))
        if version == webhook.secret_version:
            return key
        if self._auth is None:
            raise CredentialUnavailable("nobody has its secret: this process knows no auth")
        found = await self._auth.credential(CallContext(new_id()), webhook.id)
        keep_secret(found.secret)
        try:
            key = key_of(found.secret)
        except InvalidRequest as error:
            raise CredentialUnavailable(error.message) from None
        there = {each.name for each in self._configured()}
        kept = {name: held for name, held in self._keys.items() if name in there}
        # Under the version that auth says: one that is ahead of the snapshot, or behind it, is asked again.
        self._keys = kept | {webhook.name: (found.version, key)}
        return key

    def _configured(self) -> Sequence[notify.Webhook]:
        snapshot = self._current()
        return snapshot.webhooks if snapshot is not None else ()
