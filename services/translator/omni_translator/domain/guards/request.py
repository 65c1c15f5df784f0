"""A request past its guards: what they found, and the request with marks in the place of what must not leave."""

from collections.abc import Mapping

import msgspec
from omni_catalogue.guards import BLOCK, MASK, OFF, REPORT, RequestGuards
from omni_wire.errors import GuardRefused

from omni_translator.domain.guards import injection, tree
from omni_translator.domain.guards.detectors import detectors
from omni_translator.domain.guards.masking import mask_json, mask_text
from omni_translator.domain.guards.scanner import Mark, Marks, marks_in
from omni_translator.domain.model import Conversation

PII, INJECTION = "pii", "injection"


class Finding(msgspec.Struct, frozen=True):
    """``guard`` is "pii" or "injection", ``rule`` the kind or the rule, ``action`` "report", "mask" or "block"."""

    guard: str
    rule: str
    action: str
    count: int


class Guarded(msgspec.Struct, frozen=True):
    """``marks`` are those of what was masked, with which its answer goes on."""

    conversation: Conversation
    findings: tuple[Finding, ...] = ()
    marks: tuple[Mark, ...] = ()


class Refused(Exception):
    """A guard refuses; ``findings`` say why. Never leaves the translator."""

    def __init__(self, findings: tuple[Finding, ...], *, answer: bool = False) -> None:
        super().__init__("a guard refuses")
        self.findings = findings
        self.answer = answer

    def told(self) -> GuardRefused:
        """For the client: the names of what was found, and no text."""
        found = ", ".join(dict.fromkeys(f"{each.guard}.{each.rule}" for each in self.findings if each.action == BLOCK))
        what = "the answer" if self.answer else "the request"
        return GuardRefused(
            f"{what} was refused by a guard of this gateway: {found}",
            code="answer_refused" if self.answer else "guard_refused",
        )


def guard(conversation: Conversation, guards: RequestGuards) -> Guarded:
    """Raises ``Refused``."""
    findings: tuple[Finding, ...] = ()
    if guards.injection != OFF:
        found = injection.inspect(conversation, guards)
        findings = tuple(Finding(INJECTION, each.rule, each.action, each.count) for each in found)
    marks = Marks()
    if guards.pii != OFF:
        changed, marks = _masked(conversation, guards)
        findings += told(marks.found, guards.pii)
        conversation = changed if guards.pii == MASK else conversation
    if any(each.action == BLOCK for each in findings):
        raise Refused(findings)
    return Guarded(conversation, findings, marks.all() if guards.pii == MASK else ())


def told(found: Mapping[str, int], action: str) -> tuple[Finding, ...]:
    return tuple(Finding(PII, kind, action, count) for kind, count in sorted(found.items()))


def _masked(conversation: Conversation, guards: RequestGuards) -> tuple[Conversation, Marks]:
    looked_for = detectors(guards.kinds, guards.patterns)
    taken: set[str] = set()
    if guards.restore:  # else the marks in it are our own of earlier turns, and mean what they meant

        def collect(text: str) -> str:
            taken.update(marks_in(text))
            return text

        tree.of_conversation(conversation, tree.Texts(collect, collect))
    marks = Marks(taken=taken)
    changed = tree.of_conversation(
        conversation,
        tree.Texts(lambda text: mask_text(text, looked_for, marks), lambda text: mask_json(text, looked_for, marks)),
    )
    return changed, marks


def reported(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """Names for the client's header, without counts: "pii.email=masked"."""
    return tuple(f"{each.guard}.{each.rule}={_DONE[each.action]}" for each in findings)


_DONE = {REPORT: "reported", MASK: "masked", BLOCK: "blocked"}
