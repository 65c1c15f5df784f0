"""``omniroute test``: the line that each test is told in."""

from typing import Any

import pytest
from click.testing import CliRunner
from omni_launch.connection_cli import _line, probe

TOLD: dict[str, Any] = {"ok": True, "message": "well", "latency_ms": 12, "status": 200}


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({}, "ok    acme/a  12 ms  status 200: well"),
        (
            {"proxy": "office", "level": "global", "egress": "203.0.113.7"},
            "ok    acme/a  12 ms  status 200  through office (global)  from 203.0.113.7: well",
        ),
        ({"ok": False, "status": None, "message": "no way"}, "FAIL  acme/a  12 ms: no way"),
    ],
)
def test_a_line_has_what_is_known(changed: dict[str, Any], line: str) -> None:
    assert _line("acme/a", TOLD | changed) == line


@pytest.mark.parametrize("arguments", [[], ["acme", "--proxy", "office"]])
def test_it_is_one_or_the_other_that_is_tested(arguments: list[str]) -> None:
    result = CliRunner().invoke(probe, arguments)
    assert result.exit_code == 2
    assert "name an account or a provider, or a proxy with --proxy" in result.output
