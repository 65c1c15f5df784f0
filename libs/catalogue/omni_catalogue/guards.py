"""What guards a configuration may set over the content of requests and answers, and what then holds for one of them.

Two guards: over personal data and secrets (``pii``), in what is asked and in what is answered, and over attempts to
turn a model against its operator (``injection``), in what is asked.
"""

import msgspec

# Before what a guard found, among the names of the rules that an answer tells.
FOUND = "guard:"

OFF, REPORT, MASK, BLOCK = "off", "report", "mask", "block"
PII_MODES = (OFF, REPORT, MASK, BLOCK)
INJECTION_MODES = (OFF, REPORT, BLOCK)
# What is looked for, in the order in which of two kinds at the same place the first is meant.
KINDS = ("secret", "email", "iban", "card", "cnpj", "cpf", "ssn", "phone", "ip")
HIGH, MEDIUM = "high", "medium"
# Rules of injection, and how grave what they find is: ``block`` refuses what is high.
SEVERITIES = {
    "system_override": HIGH,
    "system_prompt_leak": HIGH,
    "delimiter_injection": HIGH,
    "jailbreak": HIGH,
    "exfiltration": HIGH,
    "role_hijack": MEDIUM,
    "encoding_evasion": MEDIUM,
}


class RequestGuards(msgspec.Struct, frozen=True, kw_only=True):
    """Of a request. ``patterns`` are kinds of the operator's own, by name; with ``restore`` what was masked is put back
    into the answer. ``rules`` say of a rule of injection otherwise than by its severity: "off", "report" or "block"."""

    pii: str = OFF
    kinds: tuple[str, ...] = KINDS
    patterns: tuple[tuple[str, str], ...] = ()
    restore: bool = False
    injection: str = OFF
    rules: tuple[tuple[str, str], ...] = ()


class AnswerGuards(msgspec.Struct, frozen=True, kw_only=True):
    """Of an answer, into which with ``restore`` goes back what was masked in its request."""

    pii: str = OFF
    kinds: tuple[str, ...] = KINDS
    patterns: tuple[tuple[str, str], ...] = ()
    restore: bool = False


def action(mode: str, rule: str, own: dict[str, str]) -> str:
    """What is done about a finding of ``rule``: "off", "report" or "block"."""
    if mode == OFF:
        return OFF
    said = own.get(rule)
    if said is not None:
        return REPORT if mode == REPORT and said == BLOCK else said
    return BLOCK if mode == BLOCK and SEVERITIES.get(rule) == HIGH else REPORT
