"""/api/logs and /api/export: for those who may see it, a page at a time, and nothing that a spreadsheet would run."""

import csv
import io
import json
import logging
import sys
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_core.log_ring import LogLine, LogRing
from omni_core.ports.analytics import Breakdown, Listing, UsageTotals
from omni_dashboard.server import parquet
from omni_dashboard.usage.exporting import CsvWriter, columns
from omni_wire.errors import DependencyUnavailable, InvalidRequest
from pyarrow.parquet import ParquetFile

from tests.unit.dashboard.ports import ADMIN, DEV, FOUND, House, is_problem
from tests.unit.dashboard.test_access import keep
from tests.unit.dashboard.test_audit import be_of

change = msgspec.structs.replace


async def test_requests_are_told_a_page_at_a_time_with_where_the_next_is(house: House) -> None:
    house.analytics.found = [FOUND, change(FOUND, id="0200", overhead_us=900)]
    first = await house.call("GET", "/api/logs?limit=1&from=5&filter=provider:acme&filter=combo:best&text=gpt", ADMIN)
    assert house.analytics.listings == [
        Listing("request", 5, 0, {"provider": ("acme",), "combo": ("best",)}, "gpt", "", 1)
    ]
    body = first.json()
    assert [(item["id"], item["overhead_us"]) for item in body["items"]] == [("0190", None)]
    assert first.headers["link"].endswith('after=1>; rel="next"')
    second = (await house.call("GET", f"/api/logs?limit=1&after={body['next']}", ADMIN)).json()
    assert ([item["overhead_us"] for item in second["items"]], second["next"]) == ([900], None)


async def test_calls_to_providers_say_whose_request_they_were_for(house: House) -> None:
    attempt = change(FOUND.attempts[0], request_id="0190", key_id="key_dev")
    house.analytics.found = [change(FOUND, attempts=(attempt,))]
    (call,) = (await house.call("GET", "/api/logs?kind=proxy&filter=outcome:failed", ADMIN)).json()["items"]
    assert (call["request"], call["key"], call["account"]) == ("0190", "key_dev", "claude/a")
    told = is_problem(await house.call("GET", "/api/logs?kind=proxy&filter=combo:best", ADMIN), 400)
    assert "provider, account, model, status, outcome, error, router" in told["detail"]


async def test_one_request_is_told_with_the_stages_of_its_call(house: House) -> None:
    body = (await house.call("GET", "/api/requests/mine", ADMIN)).json()
    assert [stage["stage"] for stage in body["stages"]] == [
        "client_request", "provider_request", "provider_response", "client_response",
    ]  # fmt: skip
    asked, sent, came, answered = body["stages"]
    assert (asked["at_ms"], asked["format"], asked["model"]) == (1_700_000_000_000, "openai.chat", "best")
    assert (sent["translated"], sent["format"], sent["attempt"]) == (True, "anthropic.messages", "0191")
    assert (came["status"], came["error"], came["at_ms"]) == (None, "upstream_unreachable", 1_700_000_000_021)
    assert (answered["status"], answered["at_ms"]) == (200, 1_700_000_000_130)


async def test_a_developer_sees_their_own_and_an_auditor_needs_the_area(house: House) -> None:
    house.analytics.found = [FOUND, change(FOUND, id="other", key_id="key_admin")]
    for path in ("/api/logs", "/api/export?format=jsonl"):
        answer = await house.call("GET", path, DEV)
        assert "0190" in answer.text
        assert "other" not in answer.text
        assert house.analytics.listings[-1].filters == {"key": ("key_dev",)}
    is_problem(await house.call("GET", "/api/logs?filter=key:key_admin", DEV), 403)
    is_problem(await house.call("GET", "/api/export?filter=team:core", DEV), 403)
    audited = (await house.call("GET", "/api/logs?kind=audit&limit=2", ADMIN)).json()
    assert ([item["number"] for item in audited["items"]], audited["next"]) == ([5, 4], "4")
    is_problem(await house.call("GET", "/api/logs?kind=audit", DEV), 403)
    is_problem(await house.call("GET", "/api/logs?kind=audit&after=x", ADMIN), 400)
    keep(house, management=("usage",))
    is_problem(await house.call("GET", "/api/logs?kind=audit", ADMIN), 403, "area_not_allowed")


async def test_the_log_of_this_process_is_shown_to_who_runs_it_alone(house: House) -> None:
    ring = house.component.service._console = LogRing(3)
    ring.setFormatter(logging.Formatter('{"msg": "%(message)s"}'))
    for number in range(5):
        ring.handle(logging.LogRecord("omniroute", logging.INFO, "", 0, f"line {number}", (), None))
    first = await house.call("GET", "/api/logs?kind=console&limit=2", ADMIN)
    assert [item["line"]["msg"] for item in first.json()["items"]] == ["line 4", "line 3"]
    rest = (await house.call("GET", f"/api/logs?kind=console&limit=2&after={first.json()['next']}", ADMIN)).json()
    assert ([item["number"] for item in rest["items"]], rest["next"]) == ([3], None), "older ones are gone"
    found = (await house.call("GET", "/api/logs?kind=console&text=line 3", ADMIN)).json()["items"]
    assert [item["number"] for item in found] == [4]
    is_problem(await house.call("GET", "/api/logs?kind=console", DEV), 403)
    keep(house, management=("usage",))
    is_problem(await house.call("GET", "/api/logs?kind=console", ADMIN), 403, "area_not_allowed")
    keep(house, management=("usage", "system:read"))
    assert (await house.call("GET", "/api/logs?kind=console", ADMIN)).status_code == 200
    be_of(house, "guests")
    house.component.service.forget()
    is_problem(await house.call("GET", "/api/logs?kind=console", ADMIN), 403, "organisation_not_allowed")


class Consoles:
    """Satisfies ``Consoles``: one process, whose long lines fill an answer with two."""

    async def lines(self, instance: str, before: int, limit: int, text: str) -> list[LogLine]:
        if instance != "router-1":
            raise InvalidRequest("no such process answers", status=404, code="not_found", param="process")
        lines = [LogLine(number, '{"msg": "of the router"}') for number in range(5, 0, -1)]
        return [line for line in lines if line.number < (before or 99) and text in line.text][: min(limit, 2)]


async def test_the_log_of_any_process_is_asked_of_it(house: House) -> None:
    house.component.service._consoles = Consoles()
    seen, after = [], ""
    while after is not None:
        page = await house.call("GET", f"/api/logs?kind=console&process=router-1&after={after}", ADMIN)
        seen += [item["number"] for item in page.json()["items"]]
        after = page.json()["next"]
    assert seen == [5, 4, 3, 2, 1]
    is_problem(await house.call("GET", "/api/logs?kind=console&process=router-2", ADMIN), 404, "not_found")
    is_problem(await house.call("GET", "/api/logs?kind=audit&process=router-1", ADMIN), 400)
    is_problem(await house.call("GET", "/api/logs?kind=console&process=../x", ADMIN), 422)
    is_problem(await house.call("GET", "/api/logs?kind=console&process=router-1", DEV), 403)


async def test_an_export_is_all_pages_in_one_file(house: House) -> None:
    house.analytics.found = [change(FOUND, id=f"r{number}") for number in range(5)]
    answer = await house.call("GET", "/api/export?format=jsonl&kind=requests", ADMIN)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-disposition"] == 'attachment; filename="requests.jsonl"'
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["id"] for row in rows] == [f"r{number}" for number in range(5)]
    assert (rows[0]["cost_nano_usd"], rows[0]["cost_usd"], rows[0]["losses"]) == (1_250_000, "0.00125", "top_k")
    assert all(asked.oldest and asked.limit == 500 for asked in house.analytics.listings)
    table = [*csv.reader(io.StringIO((await house.call("GET", "/api/export?kind=attempts", ADMIN)).text))]
    assert len(table) == 6
    assert (table[0][0], table[1][0]) == ("id", "0191")


@pytest.mark.parametrize("count", [0, 1, 23])
async def test_a_parquet_file_has_the_same_rows_in_groups_its_numbers_exactly(
    house: House, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(parquet, "GROUP", 10)
    most = change(FOUND, cost_nano_usd=2**53 + 1, stream=True)
    house.analytics.found = [change(most, id=f"r{number}") for number in range(count)]
    answer = await house.call("GET", "/api/export?format=parquet&kind=requests", ADMIN)
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert answer.headers["content-disposition"] == 'attachment; filename="requests.parquet"'
    file = ParquetFile(io.BytesIO(answer.content))
    assert file.num_row_groups == -(-count // 10)
    lines = (await house.call("GET", "/api/export?format=jsonl&kind=requests", ADMIN)).text.splitlines()
    wanted = [json.loads(line) for line in lines]
    found = file.read().to_pylist()
    assert found == [row | {"cost_usd": Decimal(row["cost_usd"])} for row in wanted]
    assert all(row["cost_nano_usd"] == 2**53 + 1 for row in found)
    calls = await house.call("GET", "/api/export?format=parquet&kind=attempts", ADMIN)
    assert ParquetFile(io.BytesIO(calls.content)).schema_arrow.names == [*columns("attempts")]


async def test_without_the_library_of_parquet_it_is_said_how_to_get_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = await house.call("GET", "/api/export?format=parquet", ADMIN)
    is_problem(answer, 400)
    assert "pip install 'omniroute[parquet]'" in answer.text


async def test_what_goes_wrong_before_the_first_row_has_a_status(house: House) -> None:
    is_problem(await house.call("GET", "/api/export?kind=usage", ADMIN), 400)
    is_problem(await house.call("GET", "/api/export?format=xlsx", ADMIN), 422)
    is_problem(await house.call("GET", "/api/export?filter=moon:1", ADMIN), 400)
    house.analytics.failure = DependencyUnavailable("analytics is away")
    is_problem(await house.call("GET", "/api/export", ADMIN), 503)


async def test_usage_is_exported_by_the_hour_and_asked_for_day_by_day(house: House) -> None:
    of = {"key": "k", "provider": "p", "account": "p/a", "model": "=cmd", "status": "2xx"}
    day = 86_400_000
    house.analytics.slices = [(day - 1, of, UsageTotals(requests=1)), (day + 5, of, UsageTotals(requests=2))]
    answer = await house.call("GET", f"/api/export?kind=usage&from={day // 2}&until={day * 2}", ADMIN)
    rows = [*csv.DictReader(io.StringIO(answer.text))]
    assert [(row["at_ms"], row["requests"], row["model"]) for row in rows] == [
        (str(day - 3_600_000), "1", "'=cmd"), (str(day), "2", "'=cmd"),
    ]  # fmt: skip
    assert house.analytics.breakdowns == [
        Breakdown(start, end, ("key", "provider", "account", "model", "status"), {}, "hour")
        for start, end in ((day // 2, day), (day, 2 * day))
    ]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), min_size=1, max_size=4))
def test_no_text_becomes_a_formula_and_none_is_lost(texts: list[str]) -> None:
    written = CsvWriter({}).add({"a": text, "n": -5, "b": True} for text in texts).decode()
    rows = [*csv.reader(io.StringIO(written, newline=""))]
    assert rows[0] == ["a", "n", "b"]
    for text, (shown, number, truth) in zip(texts, rows[1:], strict=True):
        assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert shown in (text, f"'{text}")
        assert (number, truth) == ("-5", "true")


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "kind=moon", "after=" + "x" * 300])
async def test_what_cannot_be_asked_is_refused(house: House, query: str) -> None:
    is_problem(await house.call("GET", f"/api/logs?{query}", ADMIN), 422)


@pytest.mark.parametrize("asked", ["audit&text=a", "audit&from=5", "console&filter=key:a", "console&until=9"])
async def test_what_cannot_narrow_a_log_is_refused(house: House, asked: str) -> None:
    is_problem(await house.call("GET", f"/api/logs?kind={asked}", ADMIN), 400)


async def test_usage_is_exported_from_what_is_kept_for_ever_alone_and_no_day_that_is_yet_to_come(house: House) -> None:
    is_problem(await house.call("GET", "/api/export?kind=usage&from=5&filter=outcome:ok", ADMIN), 400)
    now = house.component.service.now_ms()
    await house.call("GET", f"/api/export?kind=usage&from={now - 1000}&until=4000000000000", ADMIN)
    asked = [each for each in house.analytics.breakdowns if each.from_ms >= now - 1000]
    assert 0 < len(asked) <= 3
