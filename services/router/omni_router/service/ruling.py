"""Which of the product's own rules hold for a request, and what they come to on its way."""

import msgspec
from omni_catalogue.guards import FOUND
from omni_catalogue.rules import AnswerRules, Effective, without_prompt
from omni_core.ports.router import CompleteCall
from omni_core.ports.translator import Finding
from omni_wire.body import Body
from omni_wire.formats import WireFormat

from omni_router.domain.request import Request

# What a client says with a request of its own.
SYSTEM_PROMPT, SKIP = "x-omniroute-system-prompt", "skip"
PROGRESS = "x-omniroute-progress"
TRANSLATION, STRICT = "x-omniroute-translation", "strict"
_EVENTS = "text/event-stream"


def as_asked(rules: Effective, headers: dict[str, str]) -> Effective:
    """``rules`` that let a client go without the injected prompt."""
    return without_prompt(rules) if headers.get(SYSTEM_PROMPT, "").lower() == SKIP else rules


def is_strict(headers: dict[str, str]) -> bool:
    """Whether a client would rather be refused than lose anything of its request."""
    return headers.get(TRANSLATION, "").lower() == STRICT


def on_answer(rules: AnswerRules, client_format: WireFormat, choices: int) -> AnswerRules | None:
    """What is to be done to an answer in the client's dialect. Only Chat has fields to leave out; and of several
    choices a rule sees the first alone, so that in other formats they all keep their thoughts in the text. Guards see
    them all."""
    if client_format is WireFormat.OPENAI_CHAT:
        return rules
    left = AnswerRules(think_tags=rules.think_tags and choices == 1, guards=rules.guards)
    return left if left != AnswerRules() else None


_DONE = {"report": "reported", "mask": "masked", "block": "blocked"}


def found(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """What a client is told of what guards found: names, without counts."""
    return tuple(dict.fromkeys(f"{FOUND}{each.guard}.{each.rule}={_DONE.get(each.action, '')}" for each in findings))


def counted(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """The same with counts, for who looks into the request."""
    return tuple(f"{each.guard}.{each.rule} {_DONE.get(each.action, '')} ×{each.count}" for each in findings)


def names(rules: AnswerRules | None) -> tuple[str, ...]:
    """By which a client is told of what may happen to its answer; whether it does, no head can know."""
    if rules is None:
        return ()
    return tuple(name for name, on in (("sanitize", rules.sanitize), ("think_tags", rules.think_tags)) if on)


def shows_progress(rules: Effective, headers: dict[str, str]) -> bool:
    asked = rules.progress == "asked" and headers.get(PROGRESS, "").lower() == "true"
    return asked or rules.progress == "on"


def may_accept_stream(call: CompleteCall, request: Request) -> bool:
    """Whether a client leaves it to its ``Accept`` header how it is answered."""
    if request.stream or _EVENTS not in call.headers.get("accept", ""):
        return False
    return call.client_format is not WireFormat.GEMINI_GENERATE and not request.body.has("stream")


def streamed(request: Request) -> Request:
    body = Body(request.body.with_fields({"stream": True}))
    return msgspec.structs.replace(request, body=body, stream=True)
