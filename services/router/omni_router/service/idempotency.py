"""One call to a provider, one bill, for a request that is sent again under its key."""

from collections.abc import AsyncGenerator

import msgspec
from omni_catalogue.snapshot import Idempotency
from omni_core.ports.router import CompleteCall, Frame, Head

from omni_router.domain import recorded
from omni_router.service.metrics import RouterMetrics
from omni_router.service.once import MADE, How, Once
from omni_router.service.recorder import Keep


class Duplicates:
    """``policy`` None is off; ``looks`` is whether a request without a key may be a duplicate, too."""

    def __init__(self, once: Once, metrics: RouterMetrics) -> None:
        self._once = once
        self._metrics = metrics
        self.policy: Idempotency | None = None
        self.looks = False

    def configure(self, policy: Idempotency | None) -> None:
        self.policy = policy
        self.looks = policy is not None and (policy.request_id or policy.dedup > 0)

    def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        return self._once.tell(call, lambda: self._how(call))

    def _how(self, call: CompleteCall) -> How | None:
        policy = self.policy
        if policy is None:
            return None
        own_id = call.context.request_id
        name = recorded.named(
            policy,
            call.key_id,
            call.headers,
            own_id if own_id != call.event_id else "",
            recorded.fingerprint(call.client_format.value, call.model, call.stream, call.framing, call.body),
        )
        return How(name, Keep(name.window, policy.max_bytes), self._marked) if name is not None else None

    def _marked(self, head: Head, how: str) -> Head:
        if how == MADE:
            return head
        self._metrics.recordings.add((how,))
        return msgspec.structs.replace(head, idempotent=how, cache="")
