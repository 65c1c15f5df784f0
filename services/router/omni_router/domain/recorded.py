"""Which answers are recorded, under which name, and what a duplicate may be told. Pure."""

import hashlib

import msgspec
from omni_catalogue.snapshot import Idempotency
from omni_wire.errors import GatewayError, InvalidRequest

HEADER = "idempotency-key"
MAX_KEY = 255  # characters; nobody's ids are that long, and names are made of them

REPLAY, ATTACHED = "replay", "attached"


class Named(msgspec.Struct, frozen=True):
    """What a request is recorded under, and for how many seconds from its end. ``print`` is that of the request.
    ``strict`` is whether it is not answered at all where nothing can be recorded, ``promised`` whether its client named
    a key, and is rather told that an answer was not kept than given another."""

    name: str
    print: str
    window: float
    strict: bool
    promised: bool


def fingerprint(endpoint: str, model: str, stream: bool, framing: str, body: bytes) -> str:
    """Of all that makes a request another one: the endpoint is the client's format, model and stream are its path's."""
    digest = hashlib.sha256()
    for part in (endpoint, model, str(stream), framing):
        digest.update(f"{len(part.encode('utf-8', 'surrogatepass'))}:{part}".encode("utf-8", "surrogatepass"))
    digest.update(body)
    return digest.hexdigest()


def named(
    policy: Idempotency, key_id: str, headers: dict[str, str], own_id: str, print_: str
) -> Named | None:  # fmt: skip
    """By its ``Idempotency-Key``, else by ``own_id`` (the client's ``X-Request-Id``, empty where it sent none), else by
    the request itself; None where none of them is to be gone by.

    Names are apart for each API key (its id, which a rotation leaves as it is). Raises ``InvalidRequest`` for a key
    that is too long.
    """
    key = headers.get(HEADER, "")
    if len(key) > MAX_KEY:
        raise InvalidRequest(f"the Idempotency-Key is longer than {MAX_KEY} characters", param="Idempotency-Key")
    strict = policy.fail == "refuse"
    if key:
        return Named(_name(key_id, "key", key), print_, policy.window, strict, True)
    if policy.request_id and own_id:
        return Named(_name(key_id, "id", own_id), print_, policy.window, strict, True)
    if policy.dedup > 0:
        return Named(_name(key_id, "same", print_), print_, policy.dedup, False, False)
    return None


def _name(key_id: str, kind: str, text: str) -> str:
    """Clients' texts are of any length and kind, so none stands in a key of Redis."""
    said = f"{len(key_id)}:{key_id}{kind}:{text}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(said).hexdigest()[:40]


def reused() -> GatewayError:
    return InvalidRequest(
        "this Idempotency-Key was used for another request: another body, endpoint or model",
        status=422,
        param="Idempotency-Key",
        code="idempotency_key_reused",
    )


def unkept() -> GatewayError:
    return InvalidRequest(
        "the answer to this Idempotency-Key is larger than what is kept (routing.idempotency.max_bytes), so it cannot "
        "be given again; ask under another key for another answer",
        status=409,
        param="Idempotency-Key",
        code="idempotency_answer_not_kept",
    )


def wait_for(left: float, lease: float, chance: float) -> float:
    """Seconds to wait for a bell until looking at a recording that ends by itself in ``left``, or to say that it is
    still followed. ``chance``, in [0, 1), keeps those who wait apart."""
    return max(0.05, min(left, lease / 3)) + 0.1 * chance
