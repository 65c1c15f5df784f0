"""Auth as seen in a trace: the questions that requests wait for. Made only where tracing is on."""

from omni_core.ports.auth import AuthPort, Configuration, CreatedKey, Credential, Identity, KeyInfo, NewKey
from omni_core.ports.context import CallContext
from omni_core.tracing import Tracer, sampled


class TracedAuth:
    """Satisfies ``AuthPort`` around another."""

    def __init__(self, inner: AuthPort, tracer: Tracer) -> None:
        self._inner = inner
        self._tracer = tracer

    async def authenticate(self, context: CallContext, key_digest: bytes) -> Identity:
        """As ``AuthPort``."""
        if not sampled(context.traceparent):
            return await self._inner.authenticate(context, key_digest)
        with self._tracer.begin("authenticate", self._tracer.entry, context.traceparent):
            return await self._inner.authenticate(context, key_digest)

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        """As ``AuthPort``."""
        if not sampled(context.traceparent):
            return await self._inner.credential(context, account_id)
        with self._tracer.begin("credential", self._tracer.entry, context.traceparent):
            return await self._inner.credential(context, account_id)

    async def configuration(self) -> Configuration:
        return await self._inner.configuration()

    async def create_key(self, new: NewKey) -> CreatedKey:
        return await self._inner.create_key(new)

    async def list_keys(self) -> list[KeyInfo]:
        return await self._inner.list_keys()

    async def revoke_key(self, key: str) -> KeyInfo:
        return await self._inner.revoke_key(key)
