"""No secret reaches a log, whoever logged it: by its shape where it has one, by its value where somebody told us."""

import re

# Shapes of keys: ours, and of sessions and links to log in; the model vendors' own prefixes, cloud keys, signed tokens.
_KEY = re.compile(
    r"(?:\b(?:or[slo]?-[A-Za-z0-9_-]{8}|sk-[A-Za-z0-9_-]{6}|AIza[A-Za-z0-9_-]{6}|AKIA[A-Z0-9]{8}|eyJ[A-Za-z0-9_-]{8}"
    r"|(?:gsk|xai|hf|nvapi|pplx|gh[opsu]|r8|csk|fw|tgp)[_-][A-Za-z0-9]{8})"
    r"|[Bb]earer\s+[^\s\x22\\]{4}|Basic\s+[A-Za-z0-9+/]{6})[A-Za-z0-9._~+/=-]*"
)
# What stands before the "@" of a URL is a password, or a token.
_IN_URL = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#@\x22\\]+@")
# "x-api-key: …", "password=…", "token": "…"; also quoted JSON inside a message.
_NAMED = re.compile(
    r"(?i)(\b[\w-]*(?:api[_-]?key|authorization|password|passwd|secret|token)[\\\x22']*\s*[:=]\s*[\\\x22']*)"
    r"([A-Za-z0-9._~+/=-]{6,})"
)

# Shorter ones would take ordinary words out of the lines.
_SHORTEST = 8
_MOST = 10_000
_kept: dict[str, None] = {}


def keep_secret(value: str) -> None:
    """From now on no line of this process shows ``value``, whatever its shape. For credentials, when they are read.

    The newest 10,000 are remembered; one shorter than eight characters is not.
    """
    if len(value) >= _SHORTEST and value not in _kept:
        if len(_kept) >= _MOST:
            del _kept[next(iter(_kept))]
        _kept[value] = None


def redact(text: str) -> str:
    """Replace whatever is known to be a secret, has the shape of one or is called one; what is kept tells keys apart by
    kind."""
    return _NAMED.sub(r"\1[redacted]", redact_shapes(text))


def without_known(text: str) -> str:
    """Without what ``keep_secret`` was told, and otherwise as it is."""
    for secret in tuple(_kept):  # others may be kept meanwhile, in another thread
        if secret in text:
            text = text.replace(secret, "[redacted]")
    return text


def redact_shapes(text: str) -> str:
    """As ``redact``, but leaves what is only called a secret: for messages that name keys of a configuration."""
    text = _IN_URL.sub(r"\1[redacted]@", without_known(text))
    return _KEY.sub(lambda match: match.group(0)[:3] + "[redacted]", text)
