"""What the routes answer."""

import asyncio
import re
from typing import Any

import pytest
from omni_catalogue.scopes import Scopes
from omni_core.component import Check
from omni_core.ports.analytics import UsageQuery, UsageTotals
from omni_wire.errors import DependencyUnavailable, InvalidRequest, RateLimited
from omni_wire.latency import longest_in

from tests.unit.dashboard.ports import ADMIN, DEV, House, is_problem, process

JSON = {"content-type": "application/json"}


async def test_usage_has_exact_totals_and_groups_dearest_first(house: House) -> None:
    answer = await house.call(
        "GET", "/api/usage?from=2026-01-01T00:00:00Z&until=1767232800000&group_by=model&key=key_dev", ADMIN
    )
    assert answer.status_code == 200
    body = answer.json()
    assert house.analytics.queries == [UsageQuery(1_767_225_600_000, 1_767_232_800_000, "key_dev", "model")]
    assert {name: body[name] for name in ("from_ms", "until_ms", "key", "group_by", "groups_omitted")} == {
        "from_ms": 1_767_225_600_000,
        "until_ms": 1_767_232_800_000,
        "key": "key_dev",
        "group_by": "model",
        "groups_omitted": 0,
    }
    assert [group["value"] for group in body["groups"]] == ["claude-x", "gpt-x"]
    assert body["groups"][1]["totals"] == {
        "requests": 2, "errors": 1, "attempts": 3, "input_tokens": 100, "cached_input_tokens": 10,
        "cache_write_tokens": 5, "output_tokens": 50, "reasoning_tokens": 7, "total_tokens": 150,
        "unpriced_requests": 0, "cost_nano_usd": 1_250_000, "cost_usd": "0.00125",
    }  # fmt: skip
    assert body["totals"]["cost_nano_usd"] == 2**60 + 1_250_000
    assert body["totals"]["cost_usd"] == "1152921504.608096976"


async def test_usage_comes_in_points_of_time_with_percentiles(house: House) -> None:
    body = (await house.call("GET", "/api/usage?group_by=model&grain=hour&latency=true", ADMIN)).json()
    assert house.analytics.queries == [UsageQuery(group_by="model", grain="hour", latency=True)]
    assert [(point["at_ms"], point["value"]) for point in body["points"]] == [
        (3_600_000, "gpt-x"), (3_600_000, "claude-x"), (7_200_000, "gpt-x"), (7_200_000, "claude-x"),
    ]  # fmt: skip
    assert body["points"][0]["totals"]["requests"] == 2
    percentiles = {"p50": longest_in(40), "p95": longest_in(40), "p99": longest_in(40)}
    for latency in (body["latency"], body["groups"][0]["latency"], body["points"][0]["latency"]):
        assert latency == {"total_ms": percentiles, "ttft_ms": None}
    plain = (await house.call("GET", "/api/usage?group_by=model&grain=day", ADMIN)).json()
    assert (plain["grain"], plain["latency"], plain["points"][0]["latency"]) == ("day", None, None)
    is_problem(await house.call("GET", "/api/usage?grain=century", ADMIN), 422)


async def test_what_usage_can_be_asked_for_is_what_it_answers(house: House) -> None:
    """What the rollups keep is a group of its own there, too."""
    meta = (await house.call("GET", "/api/analytics/meta", DEV)).json()
    sums = {one["name"] for one in meta["measures"]}
    for dimension in (one["name"] for one in meta["dimensions"] if one["kept"] == "rollups"):
        for grain in meta["grains"]:
            body = (await house.call("GET", f"/api/usage?group_by={dimension}&grain={grain}&latency=true", DEV)).json()
            assert {*body["totals"], *body["latency"]} <= sums
    assert set(meta["percentiles"]) == set(body["latency"]["total_ms"])


async def test_usage_without_questions_is_everything(house: House) -> None:
    body = (await house.call("GET", "/api/usage", ADMIN)).json()
    assert (body["from_ms"], body["until_ms"], body["key"], body["group_by"], body["groups"]) == (None,) * 4 + ([],)


async def test_too_many_groups_are_cut_and_it_is_said() -> None:
    house = House(max_groups=10)
    house.analytics.groups = {f"m{n}": UsageTotals(requests=n) for n in range(25)}
    body = (await house.call("GET", "/api/usage?group_by=model", ADMIN)).json()
    assert len(body["groups"]) == 10
    assert body["groups_omitted"] == 15


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ("from=yesterday", 400, "from"),
        ("until=-4", 400, "until"),
        ("from=2000&until=1000", 400, "from"),
        ("from=" + "1" * 50, 422, "from"),
        ("group_by=colour", 422, "group_by"),
        ("key=" + "k" * 200, 422, "key"),
    ],
)
async def test_a_question_that_makes_no_sense_names_the_parameter(
    house: House, query: str, status: int, param: str
) -> None:
    body = is_problem(await house.call("GET", f"/api/usage?{query}", ADMIN), status)
    assert body["param"] == param


async def test_keys_are_listed_without_secrets(house: House) -> None:
    body = (await house.call("GET", "/api/keys", ADMIN)).json()
    assert body["keys"][1] == {
        "id": "key_dev", "name": "dora", "role": "developer", "models": ["gpt-*"],
        "providers": [], "endpoints": [], "ips": [], "management": [], "expires": 0, "older_until": 0,
        "requests": 3, "last_used": 1_700_000_123,
        "limits": {"requests_per_minute": 60},
        "budget": {"usd": "25.00", "nano_usd": 25 * 10**9, "window": "month"}, "managed_by": "api",
        "created": 1_700_000_001, "hint": "…6789", "rules": "", "team": "", "user": "", "tags": [],
        "no_bodies": False,
    }  # fmt: skip
    assert body["keys"][0]["budget"] is None
    assert (body["keys"][0]["requests"], body["keys"][0]["last_used"]) == (0, None)
    house.analytics.failure = DependencyUnavailable("away")
    body = (await house.call("GET", "/api/keys", ADMIN)).json()
    assert (body["keys"][1]["requests"], body["keys"][1]["last_used"]) == (None, None)


async def test_a_key_is_made_in_the_words_of_the_configuration_file_and_its_secret_is_shown_once(house: House) -> None:
    wanted = {
        "name": "ci", "role": "admin", "models": ["acme/*"], "limits": {"requests_per_minute": 600},
        "budget": {"usd": 0.1, "window": "day"}, "providers": ["acme"], "endpoints": ["chat"], "ips": ["10.0.0.0/8"],
        "expires": 1_900_000_000,
    }  # fmt: skip
    answer = await house.call("POST", "/api/keys", ADMIN, json=wanted)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["secret"] == "or-the-new-secret"
    assert answer.json()["key"]["budget"] == {"usd": "0.10", "nano_usd": 100_000_000, "window": "day"}
    (new,) = house.auth.created
    assert new.scopes == Scopes(providers=("acme",), endpoints=("chat",), ips=("10.0.0.0/8",), expires=1_900_000_000)
    assert (new.budget_nano_usd, new.budget_window, new.requests_per_minute) == (100_000_000, "day", 600)
    assert (new.role, new.models) == ("admin", ("acme/*",))
    assert "or-the-new-secret" not in (await house.call("GET", "/api/keys", ADMIN)).text


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "<b>"}, "name"),
        ({"role": "owner"}, "role"),
        ({"models": []}, "models"),
        ({"models": ["m"] * 101}, "models"),
        ({"limits": {"requests_per_minute": -1}}, "limits.requests_per_minute"),
        ({"limits": {"tokens_per_minute": 1}}, "limits.tokens_per_minute"),
        ({"budget": {"usd": 0}}, "budget.usd"),
        ({"budget": {"usd": -1}}, "budget.usd"),
        ({"budget": {"usd": "0.0000000001"}}, "budget.usd"),
        ({"budget": {"usd": "NaN"}}, "budget.usd"),
        ({"budget": {"usd": 1e300}}, "budget.usd"),
        ({"budget": {"usd": 1, "window": "year"}}, "budget.window"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_key_that_cannot_be_names_the_field(house: House, changed: dict[str, Any], param: str) -> None:
    body = is_problem(await house.call("POST", "/api/keys", ADMIN, json={"name": "ok"} | changed), 422)
    assert param in [wrong["field"] for wrong in body["errors"]]
    assert house.auth.created == []


async def test_what_auth_refuses_is_passed_on(house: House) -> None:
    body = is_problem(await house.call("POST", "/api/keys", ADMIN, json={"name": "taken"}), 400, "bad_request")
    assert (body["param"], body["detail"]) == ("name", "there is a key named taken")
    is_problem(await house.call("DELETE", "/api/keys/nobody", ADMIN), 404)


async def test_broken_json_and_a_body_too_large_are_refused(house: House) -> None:
    is_problem(await house.call("POST", "/api/keys", ADMIN, content=b'{"name":', headers=JSON), 400, "invalid_json")
    large = b'{"name": "' + b"x" * 70_000 + b'"}'

    async def slowly() -> Any:
        for at in range(0, len(large), 10_000):
            yield large[at : at + 10_000]

    is_problem(await house.call("POST", "/api/keys", ADMIN, content=large, headers=JSON), 413, "body_too_large")
    is_problem(await house.call("POST", "/api/keys", ADMIN, content=slowly(), headers=JSON), 413, "body_too_large")


async def test_quota_shows_limits_budgets_and_breakers(house: House) -> None:
    body = (await house.call("GET", "/api/quota", ADMIN)).json()
    assert body["open_reservations"] == 3
    assert body["keys"][0] == {
        "key_id": "key_dev", "requests_in_window": 12, "requests_per_minute": 60,
        "budget": {
            "usd": "25.00", "nano_usd": 25 * 10**9, "spent_usd": "0.00125", "spent_nano_usd": 1_250_000,
            "held_usd": "1.00", "held_nano_usd": 10**9, "window": "month", "resets_at": 1_800_000_000,
        },
    }  # fmt: skip
    assert body["keys"][1]["budget"] is None
    assert body["breakers"][0] == {
        "account_id": "acme/first", "state": "open", "failures": 5, "retry_after": 12.5,
        "model": "gpt-x", "combo": "", "cause": "rate_limit", "told": True,
    }  # fmt: skip
    assert body["limits"][0] == {
        "limit_id": "l1", "name": "team/core/monthly", "organisation": "default", "requests_in_window": 7,
        "requests_per_minute": 60,
        "budget": {
            "usd": "1.00", "nano_usd": 10**9, "spent_usd": "0.001", "spent_nano_usd": 1_000_000,
            "held_usd": "0.00", "held_nano_usd": 0, "window": "month", "resets_at": 1_800_000_000,
        },
        "allowances": [
            {"of": "tokens", "most": 900, "window": "5h", "used": 40, "held": 2, "resets_at": 1_800_000_000,
             "mode": "hard"},
        ],
    }  # fmt: skip
    assert body["limits"][1]["allowances"] == []
    assert (body["limits"][1]["organisation"], body["limits"][1]["budget"]) == ("guests", None)


async def test_quota_shows_what_providers_give_their_accounts(house: House) -> None:
    (account,) = (await house.call("GET", "/api/quota", ADMIN)).json()["accounts"]
    windows = {window["name"]: window for window in account.pop("windows")}
    assert account == {
        "account": "claude/a", "plan": "max", "message": "", "state": "low", "forecast_exhausted_at": 3_900_000_000.0,
        "asks": True, "fetched_at": None, "failures": 2, "reason": "HTTP 500",
    }  # fmt: skip
    five = windows["5h"]
    assert (five["used"], five["total"], five["remaining"], five["remaining_percent"]) == (81.5, 100.0, 18.5, 18.5)
    assert (five["resets_at"], five["source"], five["as_of"]) == (4_000_000_000.0, "header", 1_900_000_000.5)
    assert 0 < five["resets_in"] < 4_000_000_000
    once = windows["once"]
    assert (once["used"], once["total"], once["remaining_percent"], once["resets_at"]) == (2.5, None, None, None)
    assert (windows["month:chat"]["unlimited"], windows["month:chat"]["stale"]) == (True, True)


async def test_an_accounts_provider_is_asked_by_its_name(house: House) -> None:
    answer = await house.call("POST", "/api/quota/accounts/acme%2Fsecond/refresh", ADMIN)
    assert (answer.status_code, answer.json()["account"]) == (200, "acme/second")
    assert house.quota.resets == ["quota of acme/second"]
    house.quota.failure = RateLimited("it was only just asked for", retry_after=7.0)
    answer = await house.call("POST", "/api/quota/accounts/acme/second/refresh", ADMIN)
    is_problem(answer, 429, "rate_limit_exceeded")
    assert answer.headers["retry-after"] == "7"


async def test_a_breaker_is_reset_by_its_accounts_name(house: House) -> None:
    answer = await house.call("POST", "/api/quota/breakers/acme/first/reset", ADMIN)
    assert (answer.status_code, answer.content) == (204, b"")
    await house.call("POST", "/api/quota/breakers/acme%2Fsecond/reset", ADMIN)
    assert house.quota.resets == ["acme/first", "acme/second"]
    is_problem(await house.call("POST", "/api/quota/breakers/" + "a" * 300 + "/reset", ADMIN), 422)


async def test_a_developer_does_not_see_the_system(house: House) -> None:
    is_problem(await house.call("GET", "/api/system", DEV), 403, "permission_denied")


async def test_system_shows_the_configuration_in_force_and_the_checks(house: House) -> None:
    await house.component.start()
    body = (await house.call("GET", "/api/system", ADMIN)).json()
    await house.component.stop()
    assert body["config"] == {"revision": 7, "rejected": "line 3: unknown key 'provider'"}
    assert body["instance_id"] == "dash-1"
    assert body["version"]
    assert body["checks"]["dashboard"]["analytics"] == {"ok": True, "detail": ""}


async def test_system_names_every_process_and_who_is_out_of_step_and_why(house: House) -> None:
    body = (await house.call("GET", "/api/system", ADMIN)).json()
    assert [one["instance"] for one in body["processes"]] == ["router-1", "router-2", "translator-1"]
    good, behind, indifferent = body["processes"]
    assert good == {
        "service": "router", "instance": "router-1", "address": "10.0.0.1:20141", "draining": False,
        "started_ms": 1_700_000_000_000, "version": "1.2.3", "revision": 7, "refused_revision": 0,
        "refused_reason": "", "in_step": True, "broken_proxies": [],
    }  # fmt: skip
    assert (behind["revision"], behind["in_step"], behind["refused_revision"]) == (6, False, 7)
    assert behind["refused_reason"] == "the combo 'best' leads nowhere"
    assert (indifferent["revision"], indifferent["in_step"], indifferent["draining"]) == (None, True, True)
    assert (body["in_step"], body["live"]) == (False, True)


async def test_the_processes_are_in_step_once_the_last_of_them_is(house: House) -> None:
    house.fleet.list[0] = process("router", "router-2", revision=7)
    assert (await house.call("GET", "/api/system", ADMIN)).json()["in_step"]
    house.fleet.list.append(process("edge", "edge-1", revision=0))  # it has none yet
    assert not (await house.call("GET", "/api/system", ADMIN)).json()["in_step"]


async def test_a_list_of_processes_that_stands_still_says_so_and_keeps_the_dashboard_ready(house: House) -> None:
    await house.component.start()
    assert house.fleet.running
    house.fleet.live = False
    body = (await house.call("GET", "/api/system", ADMIN)).json()
    assert (body["live"], len(body["processes"])) == (False, 3)
    assert body["checks"]["dashboard"]["nats"] == {"ok": True, "detail": "away; the list of processes is as last heard"}
    await house.component.stop()
    assert not house.fleet.running


async def test_a_port_that_is_away_or_silent_is_a_503_that_says_when_to_come_back(house: House) -> None:
    house.analytics.failure = DependencyUnavailable("analytics is away", retry_after=2.4)
    answer = await house.call("GET", "/api/usage", ADMIN)
    is_problem(answer, 503, "service_unavailable")
    assert answer.headers["retry-after"] == "2"
    house.auth.hangs = True
    body = is_problem(await house.call("GET", "/api/keys", ADMIN), 503, "service_unavailable")
    assert body["detail"] == "auth does not answer"


async def test_a_fault_of_ours_is_a_500_that_tells_nothing_but_the_request_id(house: House) -> None:
    house.quota.failure = RuntimeError("a secret detail")
    body = is_problem(await house.call("GET", "/api/quota", ADMIN), 500)
    assert "secret" not in str(body)


async def test_unknown_paths_and_methods_are_problems_too(house: House) -> None:
    is_problem(await house.call("GET", "/api/nothing", ADMIN), 404, "not_found")
    answer = await house.call("PUT", "/api/usage", ADMIN)
    is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"
    for path in ("/docs", "/redoc", "/api/docs", "/static/../build.py", "/static/nothing.js"):
        is_problem(await house.call("GET", path), 404)


async def test_a_request_id_is_taken_when_well_formed_and_made_otherwise(house: House) -> None:
    taken = await house.call("GET", "/api/about", headers={"x-request-id": "abcDEF-12345"})
    assert taken.headers["x-request-id"] == "abcDEF-12345"
    made = await house.call("GET", "/api/about", headers={"x-request-id": "a b<c>"})
    assert len(made.headers["x-request-id"]) == 32


async def test_readiness_follows_the_ports(house: House) -> None:
    assert (await house.call("GET", "/readyz")).status_code == 503
    await house.component.start()
    ready = await house.call("GET", "/readyz")
    assert ready.status_code == 200
    assert ready.json()["ready"] is True
    assert set(ready.json()["components"]["dashboard"]) == {"auth", "quota", "analytics", "nats"}
    house.quota.failure = InvalidRequest("no")
    house.auth.hangs = True
    await house.component.service.probe()
    assert (await house.call("GET", "/readyz")).status_code == 503
    assert house.component.checks() == {
        "auth": Check(False, "auth does not answer"), "quota": Check(False, "no"), "analytics": Check(True),
        "nats": Check(True),
    }  # fmt: skip
    await house.component.stop()
    await house.component.stop()


async def test_metrics_count_by_route_and_never_by_what_was_asked(house: House) -> None:
    await house.call("GET", "/api/usage?key=key_dev", ADMIN)
    await house.call("DELETE", "/api/keys/key_dev", ADMIN)
    await house.call("GET", "/static/app.js")
    await house.call("GET", "/wp-login.php")
    text = (await house.call("GET", "/metrics")).text
    assert 'omniroute_dashboard_requests_total{route="/api/usage",status="2xx"} 1.0' in text
    assert 'omniroute_dashboard_requests_total{route="/api/keys/{id}",status="2xx"} 1.0' in text
    assert 'omniroute_dashboard_requests_total{route="/static/app.js",status="2xx"} 1.0' in text
    assert 'omniroute_dashboard_requests_total{route="unmatched",status="4xx"} 1.0' in text
    assert "key_dev" not in text
    assert "wp-login" not in text


PARQUET = "application/vnd.apache.parquet"
PUBLIC = {("get", f"/api/session{path}") for path in ("", "/oidc/{id}", "/oidc/callback")}
PUBLIC |= {*(("post", f"/api/session{path}") for path in ("", "/look", "/redeem"))}


async def test_openapi_describes_every_answer_and_problem(house: House) -> None:
    document = (await house.call("GET", "/api/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = f"{method} {path}"
            assert operation["operationId"], name
            assert "application/problem+json" in operation["responses"]["503"]["content"], name
            good = {status: found for status, found in operation["responses"].items() if status < "303"}
            status, *more = sorted(good)
            assert more == (["201"] if method == "put" else []), name
            files = {"/api/config/export": {"text/yaml"}, "/api/export": {"text/csv", "application/x-ndjson", PARQUET}}
            files |= {"/api/live": {"text/event-stream"}}
            if path in files:
                assert set(good[status]["content"]) == files[path]
            elif status not in ("204", "302"):
                assert "$ref" in good[status]["content"]["application/json"]["schema"], name
            if path != "/api/about" and (method, path) not in PUBLIC:
                assert {"HTTPBearer", "APIKeyHeader"} <= {scheme for found in operation["security"] for scheme in found}
                assert {"401", "403"} <= set(operation["responses"]), name
    assert "$defs" not in str(document)
    assert set(document["paths"]["/api/usage"]["get"]["responses"]) == {"200", "400", "401", "403", "422", "500", "503"}
    names = [parameter["name"] for parameter in document["paths"]["/api/usage"]["get"]["parameters"]]
    assert names == ["from", "until", "group_by", "key", "grain", "latency", "tag"]
    refs = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert refs <= set(document["components"]["schemas"])


async def test_many_at_once_do_not_disturb_each_other(house: House) -> None:
    async with house.client() as client:
        headers = {"authorization": f"Bearer {ADMIN}"}
        answers = await asyncio.gather(*(client.get("/api/usage", headers=headers) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["x-request-id"] for answer in answers}) == 50
