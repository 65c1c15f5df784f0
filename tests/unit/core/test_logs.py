"""What a log line may say, how often, and where it is kept."""

import io
import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omni_core import redaction, telemetry
from omni_core.log_file import LogFile, LogFileSettings
from omni_core.log_limit import Limiter
from omni_core.ports.context import CallContext
from omni_core.redaction import keep_secret, redact
from omni_core.telemetry import about, setup_logging, tell_suppressed

TRACE = "0af7651916cd43dd8448eb211c80319c"
log = logging.getLogger("omniroute.test")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What stderr got since the last call, a list of lines; logging is set up by ``lines.setup``."""
    root = logging.getLogger("omniroute")
    before = (root.handlers[:], root.propagate, root.level)
    stderr = io.StringIO()

    class Lines:
        def setup(self, log_format: str = "json", **more: Any) -> None:
            monkeypatch.setattr(sys, "stderr", stderr)
            setup_logging("INFO", log_format, **more)

        def __call__(self) -> list[str]:
            text = stderr.getvalue()
            stderr.seek(0)
            stderr.truncate()
            return text.splitlines()

    yield Lines()
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.propagate = before[0], before[1]
    root.setLevel(before[2])
    monkeypatch.setattr(telemetry, "_gate", None)


# ---- what it says ---------------------------------------------------------------------------------------------------


def test_a_line_about_a_request_has_its_id_and_its_traces(lines: Any) -> None:
    lines.setup()
    log.warning("a request failed", extra=about(CallContext("r-1", f"00-{TRACE}-b7ad6b7169203331-01"), kind="x"))
    log.warning("a request failed", extra=about(CallContext("r-2"), kind="y"))
    first, second = map(json.loads, lines())
    assert (first["request_id"], first["trace_id"], first["kind"]) == ("r-1", TRACE, "x")
    assert second["request_id"] == "r-2"
    assert "trace_id" not in second


class _Odd:
    def __str__(self) -> str:
        return 'odd "quoted" \x00\n sk-aaaaaaaaaaaaaa'


@pytest.mark.parametrize(
    "fields",
    [
        {"n": float("nan"), "inf": float("inf"), "none": None, "yes": True, "n2": 1.5},
        {"odd": _Odd(), "deep": {"a": [{"b": {1, 2}}, (b"bytes",)], 7: "seven"}},
        {"msg": "mine", "ts": "mine", "level": "mine", "trace": "mine", "logger": "mine"},
        {"line\u2028break": "\ud800 lone", "\x1b[31m": "\x1b[31mred"},
        {"exc": ValueError("boom \N{PILE OF POO}")},
    ],
)
@pytest.mark.parametrize("arguments", [("plain",), ("%s and %d", "x", 3), ("%d", "no number"), ("%(a)s", {"b": 1})])
def test_every_record_is_one_valid_json_object(lines: Any, fields: dict[Any, Any], arguments: tuple[Any, ...]) -> None:
    lines.setup()
    try:
        raise RuntimeError("with\na trace")
    except RuntimeError:
        log.error(*arguments, exc_info=True, stack_info=True, extra={"fields": fields})
    (line,) = lines()
    told = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (told["level"], told["logger"]) == ("error", "omniroute.test")
    assert told["msg"] != "mine"
    assert "RuntimeError: with\na trace" in told["trace"]
    assert "sk-aaaaaaaaaaaaaa" not in line


def test_fields_that_are_no_mapping_do_no_harm(lines: Any) -> None:
    lines.setup()
    log.error("x", extra={"fields": ["not", "a", "mapping"]})
    assert json.loads(lines()[0])["msg"] == "x"


def test_a_clients_text_cannot_write_a_line_of_its_own(lines: Any) -> None:
    lines.setup("text")
    forged = "m\n12:00:00 error   edge: all is lost\r\x1b[2J"
    log.warning("no model %s", forged, extra={"fields": {"model": forged}})
    written = lines()
    assert sum(not line.startswith("  ") for line in written) == 1
    assert "\x1b" not in "".join(written)
    assert "\r" not in "".join(written)


def test_a_message_of_several_lines_stays_readable(lines: Any) -> None:
    lines.setup("text")
    log.warning("refused:\n  %s", "line one\n  line two")
    assert lines()[1:] == ["  line one", "  line two"]


# ---- secrets --------------------------------------------------------------------------------------------------------

SHAPED = [
    ("connect to redis://:hunter2hunter@r:6379/0 failed", "hunter2hunter"),
    ("nats://s3cr3t-token@n:4222", "s3cr3t-token"),
    ("https://user:pa%40ss@host/x", "pa%40ss"),
    ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
    ("x-api-key: 0123456789abcdef0123456789abcdef", "0123456789abcdef"),
    ('{"api_key": "0123456789abcdef"}', "0123456789abcdef"),
    ("password=correct-horse-battery", "correct-horse"),
    ("gsk_AbCdEf0123456789 and hf_AbCdEf0123456789", "AbCdEf0123456789"),
    ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
    ("open /login#setup=orl-c2V0dXBzZXR1cHNldHVw", "c2V0dXBzZXR1cHNldHVw"),
    ("the cookie omniroute=ors-c2Vzc2lvbnNlc3Npb24 and oro-c3RhdGVzdGF0ZQ", "c2Vzc2lvbnNlc3Npb24"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
]


@pytest.mark.parametrize(("text", "secret"), SHAPED)
def test_secrets_go_by_their_shape_or_by_where_they_stand(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert secret not in redact(json.dumps({"x": text}))


def test_a_credential_of_any_shape_goes_once_it_is_known(lines: Any) -> None:
    odd = 'plain words "of" a\\provider'
    keep_secret(odd)
    keep_secret("short")
    lines.setup()
    log.error("told %s", odd, extra={"fields": {"deep": [{"v": f"<{odd}>"}], odd: 1, "s": "short"}})
    (line,) = lines()
    assert "plain words" not in line
    assert json.loads(line)["s"] == "short"


def test_the_newest_secrets_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_MOST", 3)
    monkeypatch.setattr(redaction, "_kept", {})
    for number in range(4):
        keep_secret(f"secret-number-{number}")
    assert redact("secret-number-3") == "[redacted]"
    assert redact("secret-number-0") == "secret-number-0"


@pytest.mark.parametrize(
    "text",
    [
        "the router retries or-else; 0192f0c1 took 12 ms at acme/gpt-x",
        "max_tokens=128000 input_tokens: 21",
        "basic authentication is not supported",
        "http://127.0.0.1:20128/v1 answered; mail a@b.c",
        "the secret file x.key cannot be read",
        "token bucket: 5",
    ],
)
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


# ---- how often ------------------------------------------------------------------------------------------------------


def test_one_kind_is_written_so_often_and_then_counted() -> None:
    now = 0.0
    limiter = Limiter(lambda: now, most=2, per=10.0)
    assert [limiter.take("a") for _ in range(5)] == [True, True, False, False, False]
    assert limiter.take("b")
    assert limiter.due() == []
    now = 10.0
    assert limiter.due() == [("a", 3)]
    assert limiter.due() == []
    assert limiter.take("a")


def test_an_outage_is_ten_lines_in_ten_seconds_and_one_that_counts_the_rest(
    lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(telemetry, "monotonic", lambda: now)
    lines.setup()
    for number in range(1000):
        log.warning("a request failed", extra={"fields": {"request_id": str(number), "kind": "x", "provider": "acme"}})
    log.warning("a request failed", extra={"fields": {"request_id": "other", "kind": "x", "provider": "beta"}})
    log.info("nothing of this kind is held back")
    tell_suppressed()
    written = [json.loads(line) for line in lines()]
    assert [line["request_id"] for line in written if line.get("provider") == "acme"] == [str(n) for n in range(10)]
    assert [line.get("request_id") for line in written[10:]] == ["other", None]
    now += 10.0
    tell_suppressed()
    (told,) = map(json.loads, lines())
    assert told["msg"] == "990 more suppressed: a request failed"
    assert (told["suppressed"], told["kind"], told["provider"]) == (990, "x", "acme")


# ---- the file -------------------------------------------------------------------------------------------------------


def test_the_file_is_private_and_turned_by_size(lines: Any, tmp_path: Path) -> None:
    path = tmp_path / "logs" / "omniroute.log"
    lines.setup(file=LogFileSettings(path=path, max_bytes=4096, keep=2))
    for number in range(400):
        log.info("line %04d %s", number, "x" * 40)
    logging.getLogger("omniroute").handlers[0].close()
    files = [path, path.with_name("omniroute.log.1"), path.with_name("omniroute.log.2")]
    assert sorted(found.name for found in path.parent.iterdir()) == sorted(
        [f.name for f in files] + [path.name + ".lock"]
    )
    assert all(file.stat().st_size <= 4096 for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    kept = [json.loads(line)["msg"] for file in reversed(files) for line in file.read_text().splitlines()]
    assert kept == [f"line {number:04d} {'x' * 40}" for number in range(400 - len(kept), 400)]
    assert len(lines()) == 400, "stderr has them too"


def test_a_file_open_to_others_is_closed_to_them_and_one_that_vanished_is_made_again(
    lines: Any, tmp_path: Path
) -> None:
    path = tmp_path / "a.log"
    path.write_text("before\n")
    path.chmod(0o644)
    handler = LogFile(LogFileSettings(path=path))
    handler.setFormatter(logging.Formatter("%(message)s"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "after", (), None))
    handler.close()
    assert path.read_text() == "after\n"


def test_processes_that_share_a_file_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "shared.log"
    code = (
        "import logging, sys; from pathlib import Path; from omni_core.log_file import *\n"
        "h = LogFile(LogFileSettings(path=Path(sys.argv[1]), max_bytes=8192, keep=1000))\n"
        "h.setFormatter(logging.Formatter('%(message)s'))\n"
        "for n in range(1500):\n"
        "    h.emit(logging.LogRecord('x', 20, '', 0, f'{sys.argv[2]} {n:04d} ' + 'y' * 30, (), None))\n"
        "h.close(); sys.exit(h.dropped)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    files = [file for file in tmp_path.iterdir() if file.suffix != ".lock"]
    assert len(files) > 10
    found = sorted(line for file in files for line in file.read_text().splitlines())
    assert found == sorted(f"{name} {number:04d} {'y' * 30}" for name in "abc" for number in range(1500))
    assert max(file.stat().st_size for file in files) < 3 * 8192, "each may be late by what it had in hand"


def test_a_writer_that_cannot_write_says_so_once_and_holds_nobody_up(
    lines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    handler = LogFile(LogFileSettings(path=tmp_path / "a.log"))
    handler.setFormatter(logging.Formatter("%(message)s"))
    monkeypatch.setattr(os, "write", full)
    for _ in range(50):
        handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "lost", (), None))
    handler.close()
    monkeypatch.undo()
    assert handler.dropped == 50


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"OMNIROUTE_LOG_FILE_MAX_BYTES": "10"}, "OMNIROUTE_LOG_FILE_MAX_BYTES"),
        ({"OMNIROUTE_LOG_FILE_MAX_BYTES": "50MB"}, "OMNIROUTE_LOG_FILE_MAX_BYTES"),
        ({"OMNIROUTE_LOG_FILE_KEEP": "-1"}, "OMNIROUTE_LOG_FILE_KEEP"),
    ],
)
def test_wrong_settings_of_the_file_are_named(env: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        LogFileSettings.from_env({"OMNIROUTE_LOG_FILE": "x.log"} | env)
    assert LogFileSettings.from_env({}) is None


def test_the_settings_of_the_file_have_defaults(tmp_path: Path) -> None:
    found = LogFileSettings.from_env({"OMNIROUTE_LOG_FILE": str(tmp_path / "x.log")})
    assert found == LogFileSettings(path=tmp_path / "x.log", max_bytes=50 * 1024 * 1024, keep=5)
    changed = {"OMNIROUTE_LOG_FILE_MAX_BYTES": "4096", "OMNIROUTE_LOG_FILE_KEEP": "0"}
    found = LogFileSettings.from_env({"OMNIROUTE_LOG_FILE": str(tmp_path / "x.log")} | changed)
    assert (found.max_bytes, found.keep) == (4096, 0)  # type: ignore[union-attr]
