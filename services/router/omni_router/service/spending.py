"""What answers took, for those who are told them later."""

from omni_router.domain.records import RequestRecord
from omni_router.ports import Ended
from omni_router.service.router import RouterService


class Spending:
    """What the answers under way in a recorder took, as ``service`` tells it: only while there are any."""

    def __init__(self, service: RouterService) -> None:
        self._service = service
        self._wanted: dict[str, Ended] = {}

    def expect(self, event_id: str) -> None:
        self._wanted[event_id] = Ended()
        self._service.told = self._note

    def of(self, event_id: str) -> Ended:
        found = self._wanted.pop(event_id, Ended())
        if not self._wanted:
            self._service.told = None
        return found

    def told(self, event_id: str, ended: Ended) -> None:
        """One was told from elsewhere, and had taken that when it was made."""
        if event_id in self._wanted:
            self._wanted[event_id] = ended

    def _note(self, record: RequestRecord) -> None:
        if record.id in self._wanted:
            usage = record.usage
            self._wanted[record.id] = Ended(None, usage.input_tokens + usage.output_tokens, record.cost_nano_usd)
