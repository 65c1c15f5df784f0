"""A month's report for people and for spreadsheets."""

import csv
import io

from omni_launch.report_cli import as_table, lines

TOTALS = {"requests": 1200, "errors": 3, "input_tokens": 10, "output_tokens": 20, "cost_usd": "12.50"}
FOUND = {
    "month": "2026-11", "by": ["team", "model"], "total": TOTALS, "before": {**TOTALS, "cost_usd": "3.00"},
    "lines": [
        {"values": {"team": "core", "model": "gpt-x"}, "totals": TOTALS, "share": 0.8},
        {"values": {"team": "", "model": '=HYPERLINK("http://x")'}, "totals": TOTALS, "share": 0.2},
    ],
}  # fmt: skip


def test_it_is_aligned_and_ends_with_the_sum_and_the_month_before() -> None:
    found = lines(FOUND)
    assert found[0] == "2026-11 (UTC)"
    assert found[1].startswith("core / gpt-x ")
    assert found[2].startswith("- / =HYPERLINK")
    assert "80.0%" in found[1]
    assert found[1].index(" USD") == found[2].index(" USD") == found[3].index(" USD")
    assert found[-1] == "the month before: 3.00 USD, 1,200 requests"


def test_in_a_spreadsheet_no_name_is_a_formula() -> None:
    head, *rows = csv.reader(io.StringIO(as_table(FOUND)))
    assert head == ["team", "model", "requests", "errors", "input_tokens", "output_tokens", "cost_usd"]
    assert rows[0] == ["core", "gpt-x", "1200", "3", "10", "20", "12.50"]
    assert rows[1][1] == '\'=HYPERLINK("http://x")'
