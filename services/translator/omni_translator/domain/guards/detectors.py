"""What personal data and secrets look like, kind by kind, and what proves a likeness.

A detector's pattern says where a candidate may stand, its ``proof`` how much of that one is (0: none of it), by
checksums, ranges and what is known not to be meant. Where a secret has no fixed end its ``tail`` says what stops it.
Sources: RFC 5321 (addresses), E.164 (numbers), ISO/IEC 7812 (cards), ISO 13616 (IBAN), SSA, Receita Federal, and each
vendor's documentation of its keys.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

import msgspec
from omni_catalogue.patterns import WORD_RIGHT, Pattern, compile_pattern, trusted
from stdnum import luhn
from stdnum.br import cnpj, cpf
from stdnum.iso7064 import mod_97_10
from stdnum.us import ssn

_LEFT: Final = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))"
_NUMBER_LEFT: Final = r"(?:(?<![\w+])|(?<=\\[nrt]))(?<![0-9][.-])"
_KEY_LEFT: Final = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))"


class Detector(msgspec.Struct, frozen=True, kw_only=True):
    """``hints``: a text without one of these has nothing to find (empty: any may). ``full`` and ``partial`` as in
    ``omni_catalogue.patterns``. ``stops`` ends what follows a match and belongs to it: at the first such, of which
    ``stop_belongs`` says whether it belongs too."""

    kind: str
    full: re.Pattern[str]
    partial: re.Pattern[str]
    proof: Callable[[str], int]
    hints: tuple[str, ...] = ()
    stops: re.Pattern[str] | None = None
    stop_belongs: bool = False


# ---- proofs: how many characters of a candidate are what it looks like -----------------------------------------------

# Endings of files and units that look like a mailbox at a host: logo@2x.png, getty@tty1.service.
_NO_DOMAIN: Final = frozenset(
    (
        *("png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "jsx", "tsx", "json", "yaml", "yml"),
        *("toml", "md", "txt", "py", "rb", "rs", "java", "html", "htm", "xml", "lock", "log", "conf", "service"),
        *("socket", "target", "timer", "mount", "slice", "scope", "local", "localhost", "internal", "cluster"),
        *("tgz", "gz", "zip", "whl"),
    )
)
_NOBODY: Final = frozenset(("git", "hg", "svn"))
_BY_LENGTH: Final = {
    13: ("4",),
    14: ("30", "36", "38", "39"),
    15: ("34", "37"),
    16: ("4", "51", "52", "53", "54", "55", "35", "60", "62", "64", "65", *(str(two) for two in range(22, 28))),
    19: ("4", "62", "60", "65"),
}
_IBAN_LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
    "XK": 20,
}  # fmt: skip


def _all(text: str) -> int:
    return len(text)


def _email(text: str) -> int:
    local, _, domain = text.rpartition("@")
    return 0 if local.lower() in _NOBODY or domain.rpartition(".")[2].lower() in _NO_DOMAIN else len(text)


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def _phone(text: str) -> int:
    digits = _digits(text)
    return len(text) if 8 <= len(digits) <= 15 and len(set(digits)) > 2 else 0


def _card(text: str) -> int:
    digits = _digits(text)
    known = digits.startswith(_BY_LENGTH.get(len(digits), ("-",)))
    return len(text) if known and len(set(digits)) > 1 and luhn.is_valid(digits) else 0


def _iban(text: str) -> int:
    """The words after one may look like more of it, so its country's length decides where it ends."""
    wanted = _IBAN_LENGTHS.get(text[:2], 0)
    seen = 0
    for at, char in enumerate(text):
        seen += char != " "
        if seen == wanted:
            compact = text[: at + 1].replace(" ", "")
            goes_on = text[at + 1 : at + 2].isalnum()
            return at + 1 if not goes_on and mod_97_10.is_valid(compact[4:] + compact[:4]) else 0
    return 0


def _ssn(text: str) -> int:
    return len(text) if ssn.is_valid(text) else 0


def _cpf(text: str) -> int:
    return len(text) if cpf.is_valid(text) and len(set(_digits(text))) > 1 else 0


def _cnpj(text: str) -> int:
    return len(text) if cnpj.is_valid(text) and len(set(_digits(text))) > 1 else 0


def _ip(text: str) -> int:
    if ":" not in text:
        try:
            address = IPv4Address(text)
        except AddressValueError:
            return 0
        # Masks, wildcards and this very machine say nothing of anybody.
        return 0 if address.is_loopback or text.startswith(("0.", "255.")) or text.endswith(".0.0.0") else len(text)
    try:
        IPv6Address(text)
    except AddressValueError:
        return 0
    return len(text) if len(text) > 7 and any(char.isdigit() for char in text) else 0


def _mixed(text: str) -> int:
    """Words joined by hyphens begin like a key, but have no digits."""
    return len(text) if any(char.isdigit() for char in text) and len(set(text)) > 8 else 0


# ---- the table ------------------------------------------------------------------------------------------------------


def _made(
    kind: str, source: str, proof: Callable[[str], int] = _all, hints: tuple[str, ...] = (), *,
    left: str = _LEFT, right: str = WORD_RIGHT, stops: str = "", belongs: bool = False,
) -> Detector:  # fmt: skip
    pattern = trusted(source, left, right)
    return _compiled(kind, pattern, proof, hints, re.compile(stops) if stops else None, belongs)


def _compiled(
    kind: str, pattern: Pattern, proof: Callable[[str], int], hints: tuple[str, ...],
    stops: re.Pattern[str] | None = None, belongs: bool = False,
) -> Detector:  # fmt: skip
    return Detector(
        kind=kind, full=re.compile(pattern.full), partial=re.compile(pattern.partial), proof=proof, hints=hints,
        stops=stops, stop_belongs=belongs,
    )  # fmt: skip


_GROUPED: Final = "|".join(
    part.replace("S", separator)
    for separator in (" ", "-")
    for part in ("[0-9]{4}S[0-9]{4}S[0-9]{4}S[0-9]{4}", "[0-9]{4}S[0-9]{6}S[0-9]{5}")
)
_OF_WORDS: Final = r"[^A-Za-z0-9_-]"
_PREFIXED: Final = (
    r"sk-(?:ant|or|proj|svcacct|admin|lf)-[A-Za-z0-9_-]{16}",
    r"gh[pousr]_[A-Za-z0-9]{30}",
    r"github_pat_[A-Za-z0-9_]{22}",
    r"glpat-[A-Za-z0-9_-]{20}",
    r"xox[abeprs]-[A-Za-z0-9-]{10}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"hf_[A-Za-z0-9]{30}",
    r"npm_[A-Za-z0-9]{36}",
    r"gsk_[A-Za-z0-9]{40}",
    r"xai-[A-Za-z0-9]{40}",
    r"pypi-[A-Za-z0-9_-]{50}",
    r"dop_v1_[0-9a-f]{60}",
    r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{20}",
)
_ALL: Final = (
    _made(
        "secret",
        r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----(?:\s|\\n|\\r){1,4}[A-Za-z0-9+/=:-]{8}",
        hints=("PRIVATE KEY",), left="", right="", belongs=True,
        stops=r"-----END (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----",
    ),
    _made(
        "secret", r"eyJ[A-Za-z0-9_-]{8,180}\.eyJ[A-Za-z0-9_-]{4}", hints=("eyJ",), left=_KEY_LEFT, right="",
        stops=r"\.{0,3}(?:[^A-Za-z0-9_.-]|\Z)",
    ),
    _made(
        "secret", "|".join(_PREFIXED), left=_KEY_LEFT, right="", stops=_OF_WORDS,
        hints=(
            *("sk-", "gh", "github_pat", "glpat", "xox", "_live_", "_test_", "AIza", "hf_", "npm_", "gsk_"),
            *("xai-", "pypi-", "dop_", "SG."),
        ),
    ),
    _made("secret", r"sk-[A-Za-z0-9]{32}", _mixed, ("sk-",), left=_KEY_LEFT, right="", stops=_OF_WORDS),
    _made("secret", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}", hints=("AKIA", "ASIA", "ABIA", "ACCA"), left=_KEY_LEFT),
    _made(
        "email", r"[\w%+][\w.%+-]{0,63}@(?:[A-Za-z0-9][A-Za-z0-9-]{0,29}\.){1,5}[A-Za-z]{2,24}", _email, ("@",),
        left=r"(?:(?<![\w%+-])|(?<=\\[nrt]))",
    ),
    _made("iban", r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?", _iban),
    _made("card", rf"{_GROUPED}|[0-9]{{13,19}}", _card, left=_NUMBER_LEFT),
    _made("cnpj", r"[0-9]{2}\.[0-9]{3}\.[0-9]{3}/[0-9]{4}-[0-9]{2}", _cnpj, ("/",), left=_NUMBER_LEFT),
    _made("cpf", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _cpf, (".",), left=_NUMBER_LEFT),
    _made("ssn", r"[0-9]{3}-[0-9]{2}-[0-9]{4}", _ssn, ("-",), left=_NUMBER_LEFT, right=r"(?![\w-])"),
    _made(
        "phone",
        r"\+[1-9](?:[ ./-]?[0-9]){7,14}|\+[1-9][0-9]{0,2} ?\([0-9]{1,5}\)(?:[ .-]?[0-9]){5,10}"
        r"|\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[ .-][0-9]{4}"
        r"|[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}|[2-9][0-9]{2}\.[2-9][0-9]{2}\.[0-9]{4}"
        r"|\([1-9][1-9]\) ?9?[0-9]{4}-[0-9]{4}",
        _phone, left=_NUMBER_LEFT, right=r"(?![\w-])",
    ),
    _made(
        "ip", r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:\.[0-9]{1,6}){0,2}", _ip, (".",),
        left=r"(?:(?<![\w.-])|(?<=\\[nrt]))(?<![Vv]ersion )(?<![Rr]elease )(?<!version: )", right=r"(?![\w-])",
    ),
    _made("ip", r"(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}", _ip, (":",), left=r"(?<![\w:.])", right=r"(?![\w:])"),
)  # fmt: skip
# Characters before a place that a pattern's left side may look at.
LOOKS_BACK: Final = 9


class Detectors(msgspec.Struct, frozen=True):
    """Those that look for the same, and what finds and holds back for all of them: a place at which none of ``any``
    and none of ``partial`` matches is nobody's."""

    each: tuple[Detector, ...]
    any: re.Pattern[str]
    partial: re.Pattern[str]


@lru_cache(256)
def detectors(kinds: tuple[str, ...], patterns: tuple[tuple[str, str], ...]) -> Detectors:
    """Those of ``kinds``, after ``patterns`` by their names. Raises ``PatternError``."""
    own = [_compiled(name, compile_pattern(source), _all, ()) for name, source in patterns]
    return together((*own, *(detector for detector in _ALL if detector.kind in kinds)))


def together(each: tuple[Detector, ...]) -> Detectors:
    return Detectors(
        each,
        re.compile("|".join(detector.full.pattern for detector in each) or "(?!)"),
        re.compile("|".join(detector.partial.pattern for detector in each) or "(?!)"),
    )
