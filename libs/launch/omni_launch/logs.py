"""Where the lines of a process go."""

import logging
from collections.abc import Mapping

from omni_core.log_file import LogFileSettings
from omni_core.telemetry import setup_logging

from omni_launch.problems import CannotStart


def set_up_logging(env: Mapping[str, str]) -> None:
    """Our loggers to stderr, and uvicorn's warnings with them."""
    level = env.get("OMNIROUTE_LOG_LEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise CannotStart(f"OMNIROUTE_LOG_LEVEL is '{level}'", "Choose DEBUG, INFO, WARNING or ERROR")
    try:
        file = LogFileSettings.from_env(env)
        setup_logging(level, env.get("OMNIROUTE_LOG_FORMAT", "text"), file)
    except ValueError as error:
        raise CannotStart(str(error)) from error
    except OSError as error:
        raise CannotStart(f"cannot write the log file: {error}", "Check OMNIROUTE_LOG_FILE") from error
    if number := env.get("OMNIROUTE_WORKER"):
        for handler in logging.getLogger("omniroute").handlers:
            handler.addFilter(_Numbered(number))
    uvicorn_log = logging.getLogger("uvicorn.error")
    uvicorn_log.handlers[:] = logging.getLogger("omniroute").handlers
    uvicorn_log.propagate = False
    uvicorn_log.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))


class _Numbered(logging.Filter):
    """Says of which worker a line is: they all write to one place."""

    def __init__(self, number: str) -> None:
        super().__init__()
        self._number = number

    def filter(self, record: logging.LogRecord) -> bool:
        record.fields = {**getattr(record, "fields", {}), "worker": self._number}
        return True
