"""What a body says of secrets and of people, masked before it leaves the process that has it.

``masked`` is a ``Redactor``: whoever knows more of what is personal gives another. A mark stands for what it hides, in
characters that end no JSON string. What a model says is masked where it stands together: one that is told apart, a few
letters an event, is not seen.
"""

import re
from collections.abc import Callable

from omni_core.redaction import redact, without_known

Redactor = Callable[[bytes], bytes]

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}")
# Thirteen to nineteen digits, in groups or not; whether they are a card's, the check digit says.
_CARD = re.compile(r"(?<![\d-])(?<!\d\.)\d(?:[ -]?\d){12,18}(?![\d-]|\.\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")


def masked(body: bytes) -> bytes:
    """Without secrets, e-mail addresses, and numbers of cards and bank accounts."""
    text = redact(body.decode("utf-8", "surrogateescape"))
    text = _EMAIL.sub("[e-mail]", text)
    text = _CARD.sub(lambda found: "[card]" if _is_card(found[0]) else found[0], text)
    text = _IBAN.sub(lambda found: "[iban]" if _is_iban(found[0]) else found[0], text)
    return text.encode("utf-8", "surrogateescape")


def bare(body: bytes) -> bytes:
    """Without the credentials that this process was given, which nobody may keep; all else as it is."""
    return without_known(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _is_card(digits: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed([int(each) for each in digits if each.isdigit()])):
        twice = digit * 2 if place % 2 else digit
        total += twice - 9 if twice > 9 else twice
    return total % 10 == 0


def _is_iban(text: str) -> bool:
    """ISO 7064, mod 97-10."""
    word = text.replace(" ", "")
    return int("".join(str(int(each, 36)) for each in word[4:] + word[:4])) % 97 == 1
