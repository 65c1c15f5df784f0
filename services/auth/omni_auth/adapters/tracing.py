"""Auth as seen in a trace: the questions that requests wait for. Made only where tracing is on."""

from typing import Any

from omni_core.ports.auth import Credential, Identity
from omni_core.ports.context import CallContext
from omni_core.tracing import Tracer, sampled

from omni_auth.service import AuthService


class TracedAuth(AuthService):
    """The service, with a span around what it answers."""

    def __init__(self, tracer: Tracer, **parts: Any) -> None:
        super().__init__(**parts)
        self._tracer = tracer

    async def authenticate(self, context: CallContext, key_digest: bytes) -> Identity:
        if not sampled(context.traceparent):
            return await super().authenticate(context, key_digest)
        with self._tracer.begin("authenticate", self._tracer.entry, context.traceparent):
            return await super().authenticate(context, key_digest)

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        if not sampled(context.traceparent):
            return await super().credential(context, account_id)
        with self._tracer.begin("credential", self._tracer.entry, context.traceparent):
            return await super().credential(context, account_id)
