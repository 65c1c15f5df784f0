"""What one ``RouterPort`` around another leaves to it."""

from typing import Generic, TypeVar

from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, ConnectionTest, ModelEntry, RouterPort
from omni_wire.formats import WireFormat

Inner = TypeVar("Inner", bound=RouterPort)


class PassingOn(Generic[Inner]):
    """All of ``RouterPort`` but ``complete``, which is what whoever is around it changes."""

    def __init__(self, inner: Inner) -> None:
        self._inner = inner

    async def explain(self, call: CompleteCall) -> bytes:
        return await self._inner.explain(call)

    async def test_account(self, context: CallContext, account_id: str, model: str = "") -> ConnectionTest:
        return await self._inner.test_account(context, account_id, model)

    async def test_proxy(self, context: CallContext, name: str) -> ConnectionTest:
        return await self._inner.test_proxy(context, name)

    async def models(self, context: CallContext, key_id: str) -> list[ModelEntry]:
        return await self._inner.models(context, key_id)

    async def count_tokens(
        self,
        context: CallContext,
        key_id: str,
        client_format: WireFormat,
        model: str,
        body: bytes,
        headers: dict[str, str] = {},  # noqa: B006 — never written to
    ) -> int:
        return await self._inner.count_tokens(context, key_id, client_format, model, body, headers)
