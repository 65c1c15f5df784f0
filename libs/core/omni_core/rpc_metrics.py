"""How many questions a service answers over gRPC, how fast, and how many of them with an error.

Of unary calls only: a stream is as long as its answer, and whoever serves it counts what matters of it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
from prometheus_client import CollectorRegistry

from omni_core.clock import monotonic
from omni_core.meters import Spread

if TYPE_CHECKING:  # generic in the stubs only
    Handler = grpc.RpcMethodHandler[Any, Any]

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)


class CallMeter:
    """``omniroute_rpc_seconds``, of one listener."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Spread(
            "omniroute_rpc_seconds",
            "Time to answer a unary call of one of our services.",
            ["method", "outcome"],
            _SECONDS,
            registry,
        )

    def timed(self, service_name: str, handlers: "dict[str, Handler]") -> "dict[str, Handler]":
        """The same handlers, counted. ``method`` is "AuthPort/Authenticate", ``outcome`` "ok" or "error"."""
        short = service_name.rpartition(".")[2]
        return {name: self._timed(f"{short}/{name}", handler) for name, handler in handlers.items()}

    def _timed(self, method: str, handler: "Handler") -> "Handler":
        serve: Callable[[Any, Any], Any] | None = handler.unary_unary
        if serve is None:
            return handler
        observe, ok, error = self._seconds.observe, (method, "ok"), (method, "error")

        async def call(request: Any, context: Any) -> Any:
            began = monotonic()
            outcome = error
            try:
                answer = await serve(request, context)
                outcome = ok
                return answer
            finally:
                observe(monotonic() - began, outcome)

        return grpc.unary_unary_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)
