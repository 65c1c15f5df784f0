"""What the simulator has seen and served: the provider's own books, to check a bill against."""

from collections import Counter, deque
from typing import Any

import msgspec
from omni_wire.usage import Usage

_MAX_MODELS = 1024
_MAX_KEPT_BODY = 1 << 20


class Totals(msgspec.Struct):
    """Tokens of a number of answers, in the convention of ``omni_wire.usage.Usage``."""

    answers: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def add(self, usage: Usage) -> None:
        self.answers += 1
        self.input_tokens += usage.input_tokens
        self.cached_input_tokens += usage.cached_input_tokens
        self.cache_write_tokens += usage.cache_write_tokens
        self.output_tokens += usage.output_tokens
        self.reasoning_tokens += usage.reasoning_tokens


class Seen(msgspec.Struct, frozen=True):
    """A request as it came. ``body`` is empty when it was larger than a mebibyte. Header names are lower case."""

    method: str
    target: str
    headers: dict[bytes, bytes]
    body: bytes

    def __repr__(self) -> str:
        return f"Seen({self.method} {self.target}, {len(self.body)} bytes)"  # headers hold keys

    def header(self, name: str) -> str | None:
        value = self.headers.get(name.lower().encode())
        return None if value is None else value.decode("latin-1")

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Meter:
    """``requests`` counts by path, models in paths written as ``{model}``. ``recent`` keeps the latest requests whole.

    ``served`` counts answers given to their end; ``interrupted`` those that a fault or the client cut short, with the
    whole input and the output sent so far. ``by_model`` holds ``served`` a model. ``cancelled`` counts the requests
    whose client went away before their end; ``refused`` the answers that were an error, scripted or not.
    """

    def __init__(self, keep: int) -> None:
        self.requests: Counter[str] = Counter()
        self.recent: deque[Seen] = deque(maxlen=keep)
        self.served = Totals()
        self.interrupted = Totals()
        self.by_model: dict[str, Totals] = {}
        self.active = 0
        self.cancelled = 0
        self.refused = 0

    def saw(self, name: str, method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes) -> None:
        self.requests[name] += 1
        if self.recent.maxlen:
            kept = body if len(body) <= _MAX_KEPT_BODY else b""
            self.recent.append(Seen(method.decode("latin-1"), target.decode("latin-1"), headers, kept))

    def serve(self, model: str, usage: Usage) -> None:
        self.served.add(usage)
        mine = self.by_model.get(model)
        if mine is None:
            if len(self.by_model) >= _MAX_MODELS:
                return
            mine = self.by_model[model] = Totals()
        mine.add(usage)

    def interrupt(self, usage: Usage, sent: int) -> None:
        reasoning = min(usage.reasoning_tokens, sent)
        self.interrupted.add(msgspec.structs.replace(usage, output_tokens=sent, reasoning_tokens=reasoning))

    def clear(self) -> None:
        """Start the books again; requests in flight stay active."""
        self.requests.clear()
        self.recent.clear()
        self.by_model.clear()
        self.served, self.interrupted = Totals(), Totals()
        self.cancelled = self.refused = 0

    def report(self) -> dict[str, Any]:
        return {
            "requests": dict(self.requests),
            "active": self.active,
            "cancelled": self.cancelled,
            "refused": self.refused,
            "served": self.served,
            "interrupted": self.interrupted,
            "by_model": self.by_model,
        }
