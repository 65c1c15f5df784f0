"""No log line carries a key, whoever logged it and wherever it stood."""

import json
import logging

import pytest
from omni_core.telemetry import console, new_registry, redact, setup_logging

SECRETS = [
    "or-AbCdEfGh1234567890",
    "sk-proj-aaaaaaaaaaaaaaaa",
    "sk-ant-api03-bbbbbbbbbbbb",
    "AIzaSyCccccccccccccccccccc",
    "Bearer dddddddddddddddd",
    "bearer eyJhbGciOi.J9.sig+/=",
]


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]):
    """Logs through the real handler and returns what stderr got."""
    root = logging.getLogger("omniroute")
    before = (root.handlers[:], root.propagate, root.level)

    def write(log_format: str, *args: object, **extra: object) -> str:
        setup_logging("INFO", log_format)
        logging.getLogger("omniroute.test").warning(*args, **extra)  # type: ignore[arg-type]
        return capsys.readouterr().err

    yield write
    root.handlers[:], root.propagate = before[0], before[1]
    root.setLevel(before[2])


@pytest.mark.parametrize("secret", SECRETS)
def test_what_has_the_shape_of_a_key_is_replaced(secret: str) -> None:
    said = redact(f"before {secret}, after")
    assert said.startswith("before ")
    assert said.endswith(", after")
    assert "[redacted]" in said
    assert secret not in said
    assert secret[8:] not in said


def test_plain_words_stay_as_they_are() -> None:
    said = "the router retries or-else; request 0192f0c1 took 12 ms at acme/gpt-x"
    assert redact(said) == said


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("secret", SECRETS)
def test_neither_message_nor_fields_nor_trace_shows_a_key(line, log_format: str, secret: str) -> None:
    try:
        raise RuntimeError(f"provider said no to {secret}")
    except RuntimeError:
        written = line(log_format, "calling with %s", secret, exc_info=True, extra={"fields": {"header": secret}})
    assert "[redacted]" in written
    assert secret[8:] not in written


def test_json_lines_are_json_with_the_fields_at_the_top(line) -> None:
    written = json.loads(line("json", "attempt failed", extra={"fields": {"provider": "acme", "status": 503}}))
    assert written["msg"] == "attempt failed"
    assert (written["level"], written["logger"]) == ("warning", "omniroute.test")
    assert (written["provider"], written["status"]) == ("acme", 503)


def test_a_line_redacted_inside_json_stays_json(line) -> None:
    written = json.loads(line("json", 'header was "Bearer abcdefgh12345678"', extra={"fields": {"a": "sk-aaaaaaaaaa"}}))
    assert "[redacted]" in written["msg"]


def test_a_short_token_at_the_end_of_a_json_string_does_not_eat_the_quote(line) -> None:
    assert json.loads(line("json", "Bearer ab", extra={"fields": {"b": "Bearer c"}}))["b"] == "Bearer c"


def test_each_registry_is_its_own() -> None:
    assert new_registry() is not new_registry()


def test_what_was_written_last_is_kept_for_who_looks_from_outside_without_secrets(line) -> None:  # type: ignore[no-untyped-def]
    line("text", "the key %s came", SECRETS[0], extra={"fields": {"n": 1}})
    (newest,) = console.newest(0, 1)
    told = json.loads(newest.text)
    assert (told["level"], told["n"]) == ("warning", 1)
    assert SECRETS[0] not in newest.text
    line("json", "another")
    assert [json.loads(one.text)["msg"] for one in console.newest(0, 2, "another")] == ["another"]
    assert console.newest(newest.number + 1, 1) == [newest]
