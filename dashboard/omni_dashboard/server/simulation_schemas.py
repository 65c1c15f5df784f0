"""What ``POST /api/simulate-route`` takes and gives, as OpenAPI shows it."""

from typing import Annotated, Any, Literal

import msgspec
from omni_wire.errors import DependencyUnavailable
from omni_wire.formats import WireFormat
from pydantic import BaseModel, ConfigDict, Field

from omni_dashboard.domain.simulation import Simulation

Dialect = Literal["openai.chat", "openai.responses", "anthropic.messages", "gemini.generate", "ollama.chat"]


class SimulationIn(BaseModel):
    """``key`` is a key's name or id, the asker's own if empty. ``body`` is a request in the dialect ``format``, of
    which ``model`` and ``stream`` are replaced; a short one where it is left out."""

    model_config = ConfigDict(extra="forbid")
    model: Annotated[str, Field(min_length=1, max_length=512)]
    key: Annotated[str, Field(max_length=128)] = ""
    format: Dialect = "openai.chat"
    stream: bool | None = None
    body: dict[str, Any] | None = None

    def to_simulation(self) -> Simulation:
        return Simulation(
            model=self.model,
            key=self.key,
            client_format=WireFormat(self.format),
            stream=self.stream,
            body=self.body,
        )


class RefusedOut(BaseModel):
    """As the client would get it; ``retry_after`` in seconds."""

    kind: str
    status: int
    code: str
    message: str
    retry_after: float | None = None


class SimulationOut(BaseModel):
    """What would happen now. ``steps`` are the candidates in order: `would_be_asked`, if none before it answers, with
    what would be granted and reserved, prices and the expected cost (nano-USD), or `would_be_passed_over`, with the
    cause. ``orders`` are the strategies with what they see. ``refused`` is null unless nobody would be asked."""

    model: str
    combo: str = ""
    revision: int
    router: str
    candidates: int
    orders: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    left_out: int = 0
    refused: RefusedOut | None = None

    @classmethod
    def of(cls, document: bytes) -> "SimulationOut":
        try:
            return cls.model_validate(msgspec.json.decode(document))
        except ValueError as error:  # also pydantic's and msgspec's own
            raise DependencyUnavailable("the router's answer is of another version") from error
