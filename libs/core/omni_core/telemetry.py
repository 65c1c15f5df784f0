"""Logs without secrets, bounded in what an outage can make of them; and one metrics registry a process."""

import atexit
import json
import logging
import math
import re
import sys
import threading
from collections.abc import Hashable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics

from omni_core.clock import monotonic
from omni_core.log_file import LogFile, LogFileSettings
from omni_core.log_limit import Limiter
from omni_core.log_ring import LogRing
from omni_core.ports.context import CallContext
from omni_core.redaction import redact
from omni_core.tracing import trace_id

__all__ = ["about", "new_registry", "redact", "setup_logging", "tell_suppressed"]

_OWN = ("ts", "level", "logger", "msg", "trace")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DEPTH = 8


def about(context: CallContext, **fields: object) -> dict[str, Any]:
    """``extra`` of a log line that concerns a request: its id, its trace's id where it has one, and ``fields``."""
    return about_request(context.request_id, context.traceparent, **fields)


def about_request(request_id: str, traceparent: str = "", **fields: object) -> dict[str, Any]:
    """As ``about``, where there is no context yet."""
    known: dict[str, object] = {"request_id": request_id}
    if trace := trace_id(traceparent):
        known["trace_id"] = trace
    return {"fields": known | fields}


class _Formatter(logging.Formatter):
    """Text for people, or one JSON object a line; ``extra={"fields": {...}}`` adds structured fields."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._json = as_json

    def format(self, record: logging.LogRecord) -> str:
        given = getattr(record, "fields", None)
        fields: Mapping[Any, Any] = given if isinstance(given, Mapping) else {}
        message = _message(record)
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        if record.stack_info:
            trace += ("\n" if trace else "") + record.stack_info
        if self._json:
            line: dict[str, Any] = {
                "ts": round(record.created, 3),
                "level": record.levelname.lower(),
                "logger": record.name,
                "msg": redact(message),
            }
            for key, value in fields.items():
                name = redact(str(key))
                line[name + "_" if name in _OWN else name] = _plain(value, _DEPTH)
            if trace:
                line["trace"] = redact(trace)
            return json.dumps(line)
        clock = self.formatTime(record, "%H:%M:%S")
        tail = "".join(f" {key}={value}" for key, value in fields.items())
        name = record.name.removeprefix("omniroute.")
        shown = redact(f"{clock} {record.levelname.lower():<7} {name}: {_indented(message)}{_one_line(tail)}")
        return f"{shown}\n{redact(trace)}" if trace else shown


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # arguments that do not fit: the line is still worth something
        return f"{record.msg} {record.args!r}"


def _plain(value: Any, depth: int) -> Any:
    """What JSON can say of ``value``, without secrets."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping) and depth:
        return {redact(str(key)): _plain(one, depth - 1) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and depth:
        return [_plain(one, depth - 1) for one in value]
    return redact(str(value))


def _one_line(text: str) -> str:
    """A client's text (a model id) must not be able to write lines of its own, or to a terminal."""
    return _CONTROL.sub(lambda match: match.group(0).encode("unicode_escape").decode(), text)


def _indented(message: str) -> str:
    """A message may have several lines, but none that looks like the beginning of another."""
    first, *rest = map(_one_line, message.split("\n"))
    return "\n".join([first, *(line if line.startswith("  ") else "  " + line for line in rest)])


class _Gate(logging.Handler):
    """Before every sink: of warnings and errors of one kind only so many in so many seconds. A kind is who says what,
    with the fields ``kind`` and ``provider``, all of them names from code and configuration."""

    def __init__(self, sinks: list[logging.Handler]) -> None:
        super().__init__()
        self._sinks = sinks
        self._limiter = Limiter(monotonic)
        self._alone = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        self.tell_suppressed()
        if record.levelno >= logging.WARNING:
            with self._alone:
                wanted = self._limiter.take(_kind(record))
            if not wanted:
                return
        self._send(record)

    def tell_suppressed(self) -> None:
        with self._alone:
            due = self._limiter.due()
        for kind, count in due:
            name, said, fields = kind if isinstance(kind, tuple) else ("omniroute", "of many kinds", ())
            record = logging.LogRecord(name, logging.WARNING, "", 0, "%d more suppressed: %s", (count, said), None)
            record.fields = dict(fields) | {"suppressed": count}
            if self.filter(record):
                self._send(record)

    def close(self) -> None:
        self.tell_suppressed()
        for sink in self._sinks:
            sink.close()
        super().close()

    def _send(self, record: logging.LogRecord) -> None:
        for sink in self._sinks:
            sink.handle(record)


def _kind(record: logging.LogRecord) -> Hashable:
    fields = getattr(record, "fields", None)
    known = fields if isinstance(fields, Mapping) else {}
    named = tuple((name, str(known[name])) for name in ("kind", "provider") if name in known)
    said = str(record.msg)
    return record.name, (record.getMessage() if said == "%s" else said)[:200], named


_gate: _Gate | None = None
# What was written last, for the management surface.
console = LogRing()


def setup_logging(level: str, log_format: str, file: LogFileSettings | None = None) -> None:
    """Send the ``omniroute`` loggers to stderr, and to ``file`` too. Call once, in the composition root.

    Raises ``OSError`` when the file cannot be opened.
    """
    global _gate
    sinks: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if file is not None:
        sinks.append(LogFile(file))
    for sink in sinks:
        sink.setFormatter(_Formatter(log_format == "json"))
    console.setFormatter(_Formatter(as_json=True))
    sinks.append(console)
    root = logging.getLogger("omniroute")
    for before in root.handlers:
        before.close()
    _gate = _Gate(sinks)
    root.handlers[:] = [_gate]
    root.propagate = False
    root.setLevel(level)
    if file is not None:
        atexit.register(_gate.close)


def tell_suppressed() -> None:
    """Write how many lines were not, of the kinds that have fallen silent. Cheap; once a second."""
    if _gate is not None:
        _gate.tell_suppressed()


def new_registry() -> CollectorRegistry:
    """A registry of one process (tests make one each). Components register ``omniroute_<service>_…`` in it."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # else when each was made is a series of its own
    return CollectorRegistry(auto_describe=True)
