"""Logs without secrets, and one metrics registry a process."""

import json
import logging
import re
import sys
from typing import Any

from prometheus_client import CollectorRegistry

# Shapes of keys that must never reach a log, whoever logged them: ours, OpenAI's, Anthropic's, Google's, bearer tokens.
_SECRET = re.compile(
    r"(or-[A-Za-z0-9_-]{8}|sk-[A-Za-z0-9_-]{6}|AIza[A-Za-z0-9_-]{6}|[Bb]earer\s+[^\s\x22\\]{4})[A-Za-z0-9._~+/=-]*"
)


def redact(text: str) -> str:
    """Replace whatever has the shape of a key, keeping enough to tell keys apart by kind."""
    return _SECRET.sub(lambda match: match.group(0)[:3] + "[redacted]", text)


class _Formatter(logging.Formatter):
    """Text for people, or one JSON object a line; ``extra={"fields": {...}}`` adds structured fields."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, "fields", {})
        message = record.getMessage()
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        if self._json:
            line = {
                "ts": round(record.created, 3),
                "level": record.levelname.lower(),
                "logger": record.name,
                "msg": message,
            }
            return redact(json.dumps(line | fields | ({"trace": trace} if trace else {}), default=str))
        clock = self.formatTime(record, "%H:%M:%S")
        tail = "".join(f" {key}={value}" for key, value in fields.items())
        return redact(
            f"{clock} {record.levelname.lower():<7} {record.name.removeprefix('omniroute.')}: {message}{tail}"
        ) + ("\n" + redact(trace) if trace else "")


def setup_logging(level: str, log_format: str) -> None:
    """Send the ``omniroute`` loggers to stderr. Call once, in the composition root."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(log_format == "json"))
    root = logging.getLogger("omniroute")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(level)


def new_registry() -> CollectorRegistry:
    """A registry of one process (tests make one each). Components register ``omniroute_<service>_…`` in it."""
    return CollectorRegistry(auto_describe=True)
