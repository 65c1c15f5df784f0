"""Which requests may be answered from the cache, under which name, and which answers are fit for it. Pure."""

import hashlib
import re
from typing import Any

import msgspec
from omni_catalogue.rules import Rules, keeps_in, merged
from omni_catalogue.snapshot import Caching, KeyPolicy, Semantic, Snapshot
from omni_wire.body import Body
from omni_wire.errors import InvalidRequest, WireError
from omni_wire.formats import WireFormat

HEADER = "x-omniroute-cache"
ON, OFF, REFRESH, EXACT, SEMANTIC = "on", "off", "refresh", "exact", "semantic"
HIT, MISS, BYPASS = "hit", "miss", "bypass"  # and SEMANTIC

# Of a body, what says who asks and not what.
_IDLE = ("user", "metadata", "safety_identifier", "prompt_cache_key")
# Of the headers, those that make another answer of the same body.
_TELLING = (
    "anthropic-beta", "anthropic-version", "openai-beta", "x-omniroute-progress", "x-omniroute-system-prompt",
    "x-omniroute-translation",
)  # fmt: skip
_EVENTS = "text/event-stream"

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder().decode

# As a provider wrote them: inside a text a quote has a backslash before it.
_REASON = re.compile(
    rb'(?<!\\)"(?:finish_reason|stop_reason|finishReason|done_reason)"\s*:\s*"([A-Za-z_]{1,40})"',
)  # fmt: skip
_GOOD = frozenset({b"stop", b"tool_calls", b"function_call", b"end_turn", b"stop_sequence", b"tool_use", b"STOP"})
_COMPLETED = re.compile(rb'(?<!\\)"type"\s*:\s*"response\.completed"')


def wish(headers: dict[str, str]) -> str:
    """What a client says of the cache; "" where it says nothing. Raises ``InvalidRequest``."""
    said = headers.get(HEADER, "").strip().lower()
    if said not in ("", ON, OFF, REFRESH, EXACT, SEMANTIC):
        raise InvalidRequest(f"{HEADER} must be on, off, refresh, exact or semantic", param=HEADER)
    return said


def configured(snapshot: Snapshot) -> bytes:
    """What of a configuration may change an answer, whoever asks: not its accounts, whose secrets come and go."""
    providers = [msgspec.structs.replace(provider, accounts=()) for provider in snapshot.providers]
    said = [
        *(providers, snapshot.combos, snapshot.rules, snapshot.routing.default_max_output),
        *(snapshot.wildcards, snapshot.aka, snapshot.auto),
    ]
    return hashlib.sha256(_encode(said)).digest()


def read(body: bytes) -> dict[str, Any] | None:
    """A body as it is compared; None for what is no JSON object."""
    try:
        said = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def looks(snapshot: Snapshot) -> bool:
    """Whether a request that says nothing of the cache may be answered from it, of any key and model."""
    policy = snapshot.routing.caching
    if policy is None:
        return False
    places = (snapshot.rules, *(key.rules for key in snapshot.keys), *(combo.rules for combo in snapshot.combos))
    return any(word not in (None, "asked", OFF) for word in (policy.requests, *(place.cache for place in places)))


def requests_of(policy: Caching, *places: Rules) -> str:
    """Which requests the cache answers by the rules of ``places``, the widest first."""
    return next((place.cache for place in reversed(places) if place.cache is not None), policy.requests)


def takes(requests: str, said: dict[str, Any], asked: str) -> bool:
    """Whether a request may be answered from the cache, and into it: who asks for it unless it is off, else as
    configured."""
    if asked or requests == OFF:
        return asked not in ("", OFF) and requests != OFF
    return requests == "any" or (requests == "deterministic" and _is_deterministic(said))


def means(policy: Semantic, said: dict[str, Any], asked: str, *places: Rules) -> bool:
    """Whether a request that the cache takes may be answered by its meaning: by the rules of ``places``, the widest
    first, and unless its client asks for the very same only. Never where a guard masks or refuses what it says."""
    if keeps_in(merged(*places)):  # what is compared is asked of an embedding model, as it stands
        return False
    said_here = (place.semantic_cache for place in reversed(places) if place.semantic_cache is not None)
    requests = next(said_here, policy.requests)
    if asked in (EXACT, SEMANTIC):
        return asked == SEMANTIC and requests != OFF
    return requests == "any" or (requests == "deterministic" and _is_deterministic(said))


def _is_deterministic(said: dict[str, Any]) -> bool:
    """Whether the client itself set its temperature to 0, wherever its dialect has it."""
    places = [said, *(said.get(name) for name in ("generationConfig", "generation_config", "options"))]
    found = [place["temperature"] for place in places if isinstance(place, dict) and "temperature" in place]
    return bool(found) and all(type(value) in (int, float) and value == 0 for value in found)


def name_of(
    key: KeyPolicy, configuration: bytes, request: tuple[str, str, bool, str], said: dict[str, Any],
    headers: dict[str, str],
) -> str:  # fmt: skip
    """One for each API key, configuration and request: ``request`` is the endpoint, and the model, whether it streams
    and how, as its path says."""
    heard = [headers.get(name, "") for name in _TELLING]
    asked = {field: value for field, value in said.items() if field not in _IDLE}
    parts = [
        key.id, key.rules, key.scopes.providers, configuration.hex(), request, heard,
        _EVENTS in headers.get("accept", ""), asked,
    ]  # fmt: skip
    return hashlib.sha256(_encode(parts)).hexdigest()[:40]


def is_fit(client_format: WireFormat, stream: bool, data: bytes) -> bool:
    """Whether an answer came to an end of its own: not one cut short by its limit, or by a filter."""
    if client_format is WireFormat.OPENAI_RESPONSES:
        return bool(_COMPLETED.search(data)) if stream else _status(data) == "completed"
    reasons = _REASON.findall(data)
    return bool(reasons) and _GOOD.issuperset(reasons)


def _status(data: bytes) -> Any:
    try:
        return Body(data).get("status")
    except WireError:
        return None
