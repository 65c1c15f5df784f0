"""The end of a trace: each traced request gets the span in which its usage was stored, linked to the message that
brought it. Made only where tracing is on."""

from collections.abc import Awaitable, Callable, Sequence

from omni_core import genai
from omni_core.events import traces_in
from omni_core.tracing import MAX_LINKS, Kind, Tracer, error_kind, now_ns, sampled

from omni_analytics import settings as names
from omni_analytics.ports import UsageMessage

Take = Callable[[Sequence[UsageMessage]], Awaitable[None]]


def traced(take: Take, tracer: Tracer) -> Take:
    """``take``, with its spans. A message says by its own trace context whether any request in it is traced."""

    async def taken(messages: Sequence[UsageMessage]) -> None:
        concerned = [message for message in messages if sampled(message.traceparent)]
        began = now_ns()
        failure = ""
        try:
            await take(messages)
        except BaseException as error:
            failure = error_kind(error)
            raise
        finally:
            for message in concerned:
                _tell(tracer, message, began, failure)

    return taken


def _tell(tracer: Tracer, message: UsageMessage, began: int, failure: str) -> None:
    attributes = {
        genai.MESSAGING_SYSTEM: "nats",
        genai.MESSAGING_OPERATION: "process",
        genai.MESSAGING_DESTINATION: names.USAGE_STREAM,
    }
    for request in traces_in(message.data)[:MAX_LINKS]:
        span = tracer.begin(
            f"process {names.USAGE_STREAM}",
            Kind.CONSUMER,
            request,
            attributes,
            links=[message.traceparent],
            start_ns=began,
        )
        if failure:
            span.fail(failure)
        span.end()
