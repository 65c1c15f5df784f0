"""``RouterPort`` that answers a request asked again from the recording of its first answer.

One call to a provider, one bill: duplicates under way read along, later ones get a replay, over all routers. A request
that names no key, where none is looked for, goes straight on.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec
from omni_catalogue.snapshot import Idempotency, Snapshot
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Frame, Head, ModelEntry
from omni_wire.errors import ClientGone, GatewayError
from omni_wire.formats import WireFormat

from omni_router.domain import recorded
from omni_router.domain.recorded import Named
from omni_router.ports import Recordings
from omni_router.service.held import Tools
from omni_router.service.metrics import RouterMetrics
from omni_router.service.recorder import Recorder
from omni_router.service.retelling import Retelling
from omni_router.service.router import RouterService


class IdempotentRouter:
    """Around a ``RouterService``, to whom it hands snapshots on."""

    def __init__(self, service: RouterService, tools: Tools, store: Recordings, metrics: RouterMetrics) -> None:
        self._service = service
        self._tools = tools
        self._metrics = metrics
        self._recorder = Recorder(store, service.complete, tools.settings.recording_lease, self._count)
        self._policy: Idempotency | None = None
        self._looks = False  # whether a request without a key may be a duplicate, too

    def prepare(self, snapshot: Snapshot) -> Callable[[], None]:
        """As ``RouterService.prepare``."""
        switch = self._service.prepare(snapshot)

        def both() -> None:
            switch()
            policy = self._policy = snapshot.routing.idempotency
            self._looks = policy is not None and (policy.request_id or policy.dedup > 0)

        return both

    @property
    def revision(self) -> int:
        return self._service.revision

    async def stop(self) -> None:
        """End what is being recorded; others may then make it."""
        await self._recorder.stop()

    def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        if self._looks or recorded.HEADER in call.headers:
            policy = self._policy
            if policy is not None:
                return self._once(call, policy)
        return self._service.complete(call)

    async def models(self, context: CallContext, key_id: str) -> list[ModelEntry]:
        return await self._service.models(context, key_id)

    async def count_tokens(
        self,
        context: CallContext,
        key_id: str,
        client_format: WireFormat,
        model: str,
        body: bytes,
        headers: dict[str, str] = {},  # noqa: B006 — never written to
    ) -> int:
        return await self._service.count_tokens(context, key_id, client_format, model, body, headers)

    async def _once(self, call: CompleteCall, policy: Idempotency) -> AsyncGenerator[Frame, None]:
        retelling = Retelling(call, self._service, self._tools, self._metrics)
        error: GatewayError | None = None
        own = False  # whether the answer is made for this request, which is then written down there
        try:
            name = _name(policy, call)
            if name is not None:
                recording, reader = self._recorder.enter(call, name.name, name.print, name.window, policy.max_bytes)
                try:
                    async with aclosing(recording.read(reader, recorded.unkept())) as frames:
                        async for frame in frames:
                            if isinstance(frame, Head) and not reader.made:
                                await retelling.begin(frame)
                                frame = self._marked(frame, late=reader.late or recording.complete)
                            yield frame
                except GatewayError:
                    if not recording.away or name.strict or retelling.begun:
                        raise
                    self._count("unrecorded")
                else:
                    return
                finally:
                    self._recorder.leave(recording, reader)
                    own = reader.made
            own = True
            async with aclosing(self._service.complete(call)) as frames:
                async for frame in frames:
                    yield frame
        except GatewayError as failure:
            error = failure
            raise
        except BaseException:
            error = ClientGone("the client went away")
            raise
        finally:
            if not own:
                retelling.end(error)

    def _marked(self, head: Head, *, late: bool) -> Head:
        mark = recorded.REPLAY if late else recorded.ATTACHED
        self._count(mark)
        return msgspec.structs.replace(head, idempotent=mark)

    def _count(self, outcome: str) -> None:
        self._metrics.recordings.add((outcome,))


def _name(policy: Idempotency, call: CompleteCall) -> Named | None:
    own_id = call.context.request_id
    return recorded.named(
        policy,
        call.key_id,
        call.headers,
        own_id if own_id != call.event_id else "",
        recorded.fingerprint(call.client_format.value, call.model, call.stream, call.framing, call.body),
    )
