"""What a product tells Cloud Code Assist beside the envelope, one function each.

They make a request look like one of another vendor's product, so that none is used but for an account whose
configuration names the product (``identity``).
"""

from collections.abc import Callable, Mapping
from typing import Final

from omni_translator.domain.model import Json

Deviation = Callable[[Json], None]


def as_agent(body: Json) -> None:
    """Antigravity marks requests of its agent."""
    body["requestType"] = "agent"


def validated_calls(body: Json) -> None:
    """Antigravity asks for calls that fit their schema, wherever there are tools and nothing else is asked for."""
    inner = body["request"]
    if inner.get("tools"):
        config = inner.setdefault("toolConfig", {}).setdefault("functionCallingConfig", {})
        if config.get("mode", "AUTO") == "AUTO":
            config["mode"] = "VALIDATED"


def named_antigravity(body: Json) -> None:
    """Antigravity names itself in the body."""
    body["userAgent"] = "antigravity"


DEVIATIONS: Final[Mapping[str, tuple[Deviation, ...]]] = {
    "antigravity": (as_agent, validated_calls, named_antigravity),
}
