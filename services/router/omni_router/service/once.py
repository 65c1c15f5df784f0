"""A request is told what is recorded under its name, or has it made: what idempotency and the cache have in common."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec
from omni_core.ports.router import CompleteCall, Frame, Head
from omni_wire.errors import ClientGone, GatewayError

from omni_router.domain import recorded
from omni_router.domain.recorded import Named
from omni_router.ports import Ended
from omni_router.service.held import Tools
from omni_router.service.metrics import RouterMetrics
from omni_router.service.recorder import Answer, Keep, Recorder
from omni_router.service.retelling import Retelling
from omni_router.service.router import RouterService

MADE = "made"  # beside recorded.REPLAY and recorded.ATTACHED


class How(msgspec.Struct, frozen=True):
    """``marked`` is a head with how it came about, one of the three words; ``told`` is called when an answer was told
    that was not made for this request."""

    name: Named
    keep: Keep
    marked: Callable[[Head, str], Head]
    told: Callable[[Ended], None] | None = None


class Once:
    """``answer`` is what makes one; ``outcome`` what it is called where it was recorded."""

    def __init__(
        self,
        recorder: Recorder,
        answer: Answer,
        service: RouterService,
        tools: Tools,
        metrics: RouterMetrics,
        outcome: str,
    ) -> None:
        self._recorder = recorder
        self._answer = answer
        self._service = service
        self._tools = tools
        self._metrics = metrics
        self._outcome = outcome

    async def tell(self, call: CompleteCall, how: Callable[[], How | None]) -> AsyncGenerator[Frame, None]:
        """The answer; what ``how`` raises is that of the request, and where it gives None nothing is recorded."""
        retelling = Retelling(call, self._service, self._tools, self._metrics, self._outcome)
        error: GatewayError | None = None
        own = False  # whether the answer is made for this request, which is then written down there
        try:
            wanted = how()
            if wanted is not None:
                name = wanted.name
                recording, reader = self._recorder.enter(call, name.name, name.print, wanted.keep)
                try:
                    async with aclosing(recording.read(reader, recorded.unkept())) as frames:
                        async for frame in frames:
                            if isinstance(frame, Head):
                                mark = MADE
                                if not reader.made:
                                    await retelling.begin(frame)
                                    late = reader.late or recording.complete
                                    mark = recorded.REPLAY if late else recorded.ATTACHED
                                frame = wanted.marked(frame, mark)
                            yield frame
                except GatewayError:
                    lost = recording.away and not name.strict
                    if retelling.begun or not (lost or (not recording.kept and not name.promised)):
                        raise
                else:
                    if wanted.told is not None and not reader.made and recording.ended is not None:
                        wanted.told(recording.ended)
                    return
                finally:
                    self._recorder.leave(recording, reader)
                    own = reader.made
            own = True
            async with aclosing(self._answer(call)) as frames:
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
