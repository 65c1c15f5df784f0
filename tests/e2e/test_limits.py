"""Limits that keys share, through all processes: made by API and file, held by two routers, told in every dialect."""

import asyncio
import base64
import hmac
import json
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.support.fleet import ADMIN, HELLO, KEY, Fleet, config, eventually, fleet
from tests.support.stack import simulator

CAP_NANO_USD = 400_000
PAGER_SECRET = "whsec_cGFnZXItc2VjcmV0LW9mLXRoZS1lMmU="
FILE = """\
limits:
  - {name: research, team: core, budget: {usd: 0.0004}}
  - {name: pace, user: ann@example.org, requests_per_minute: 6}
"""


@pytest.fixture(scope="module")
def provider_url() -> Iterator[str]:
    with simulator() as provider:
        yield provider.url


@pytest.fixture(scope="module")
def hooked() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Where a webhook is told, and what it was."""
    told = list[dict[str, Any]]()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.append(json.loads(body) | dict(self.headers) | {"path": self.path, "body": body})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", told
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, provider_url: str, hooked: tuple[str, list[dict[str, Any]]]
) -> Iterator[Fleet]:
    hook = {"_URL": hooked[0], "_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "_PRIVATE": "on"}
    env = {f"OMNIROUTE_ANALYTICS_WEBHOOK{name}": value for name, value in hook.items()}
    env |= {"PAGER_SECRET": PAGER_SECRET}
    home = tmp_path_factory.mktemp("limits")
    with fleet(home, config(provider_url, breaker="on"), routers=2, env=env) as running:
        edge = running["edge"][0]
        eventually(lambda: edge.metric("omniroute_pool_members", service="router", state="ready") == 2, 10)
        manage(running, "PUT", "teams/core", {})
        manage(running, "PUT", "users/ann@example.org", {})
        yield running


def manage(made: Fleet, method: str, path: str, body: Any = None, *, refused: int = 0) -> Any:
    headers = {"authorization": f"Bearer {ADMIN}"}
    kind = {"json": body} if not isinstance(body, str) else {"content": body}
    if isinstance(body, str):
        headers["content-type"] = "application/yaml"
    answer = httpx.request(method, f"{made.dashboard}/api/{path}", headers=headers, timeout=30, **kind)
    assert answer.status_code == refused if refused else answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


def key(made: Fleet, name: str, **owners: Any) -> str:
    """A key's secret, once every router knows the key."""
    secret = str(manage(made, "POST", "keys", {"name": name, **owners})["secret"])
    in_step(made)
    return secret


def in_step(made: Fleet) -> None:
    """Wait until all work with the published configuration."""
    eventually(lambda: bool(made.get("/api/system").json()["in_step"]), 10)


def shared(made: Fleet, name: str) -> dict[str, Any]:
    (found,) = (one for one in made.get("/api/quota").json()["limits"] if one["name"] == name)
    return dict(found)


def at_once(made: Fleet, count: int, keys: list[str], **more: object) -> Counter[int]:
    async def ask() -> Counter[int]:
        async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=count)) as client:

            async def one(number: int) -> int:
                headers = {"authorization": f"Bearer {keys[number % len(keys)]}"}
                body = {"model": "acme/sim+tokens:4", "messages": HELLO} | more
                return (await client.post(f"{made.openai}/chat/completions", json=body, headers=headers)).status_code

            return Counter(await asyncio.gather(*map(one, range(count))))

    return asyncio.run(ask())


def test_a_file_limits_a_team_and_a_user_and_two_keys_of_each_share_what_it_says(made: Fleet) -> None:
    first, second = (key(made, name, team="core") for name in ("first", "second"))
    applied = manage(made, "POST", "config/apply?source=limits.yaml", FILE)
    assert [f"{one['action']} {one['name']}" for one in applied["changes"]] == [
        "create team/core/research",
        "create user/ann@example.org/pace",
    ]
    in_step(made)
    seen = Counter[int]()
    for _ in range(8):
        seen += at_once(made, 40, [first, second], max_tokens=10)
    assert set(seen) <= {200, 402, 429}
    assert seen[200] > 2
    assert seen[402] > 0
    assert min(router.metric("omniroute_router_requests_total") for router in made["router"]) > 0
    eventually(lambda: made.open_reservations() == 0, 10)
    budget = shared(made, "team/core/research")["budget"]
    assert 0 < budget["spent_nano_usd"] <= CAP_NANO_USD
    assert (budget["held_nano_usd"], budget["nano_usd"], budget["window"]) == (0, CAP_NANO_USD, "month")
    assert budget["resets_at"] > 0
    eventually(lambda: made.totals(first)["requests"] + made.totals(second)["requests"] == seen.total(), 15)
    spent = sum(made.totals(one)["cost_nano_usd"] for one in (first, second))
    assert spent == budget["spent_nano_usd"], "what was charged to the team is what its keys used"
    assert made.ask("acme/sim", key=KEY).status_code == 200, "who is of no team has nothing to do with it"


def test_the_refusal_names_the_limit_in_each_dialect_and_nobody_of_the_team(made: Fleet) -> None:
    secret = key(made, "third", team="core")
    manage(made, "POST", "config/apply?source=limits.yaml", FILE.replace("0.0004", "0.000001"))
    in_step(made)
    spent = "its USD budget is spent, or what is left of it is less than this request may cost"
    told = f"the limit 'research' of this key's team: {spent}"
    answer = made.ask("acme/sim", key=secret)
    assert (answer.status_code, answer.json()["error"]["message"]) == (402, told)
    assert answer.json()["error"]["code"] == "budget_exhausted"
    headers = {"authorization": f"Bearer {secret}"}
    body = {"model": "acme/sim", "messages": HELLO, "max_tokens": 10}
    answer = httpx.post(f"{made.edge}/v1/messages", json=body, headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["type"], answer.json()["error"]["message"]) == (402, "error", told)
    assert "core" not in answer.text


def test_requests_per_minute_are_those_of_all_keys_of_a_user(made: Fleet) -> None:
    keys = [key(made, name, user="ann@example.org") for name in ("anns", "anns-other")]
    assert at_once(made, 24, keys) == {200: 6, 429: 18}
    answer = made.ask("acme/sim", key=keys[0])
    message = answer.json()["error"]["message"]
    assert message.startswith("the limit 'pace' of this key's user: its requests per minute are used up")
    assert (answer.status_code, 0 < int(answer.headers["retry-after"]) <= 61) == (429, True)
    answer = httpx.post(
        f"{made.edge}/v1/messages", json={"model": "acme/sim", "messages": HELLO, "max_tokens": 10},
        headers={"authorization": f"Bearer {keys[1]}"}, timeout=30,
    )  # fmt: skip
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limit_error")
    assert shared(made, "user/ann@example.org/pace")["requests_in_window"] == 6


def test_an_organisations_limit_is_for_every_key_changes_while_it_runs_and_goes(made: Fleet) -> None:
    other = key(made, "other")
    manage(made, "PUT", "limits/all", {"requests_per_minute": 4})
    in_step(made)
    assert at_once(made, 12, [KEY, other]) == {200: 4, 429: 8}
    manage(made, "PUT", "limits/all", {"requests_per_minute": 7})
    in_step(made)
    assert at_once(made, 12, [KEY, other]) == {200: 3, 429: 9}, "what was counted stays counted"
    assert "the limit 'all' of this key's organisation" in made.ask("acme/sim", key=KEY).text
    manage(made, "DELETE", "limits/all")
    in_step(made)
    assert made.ask("acme/sim", key=KEY).status_code == 200


def test_what_is_wrong_is_refused_where_it_is_saved(made: Fleet) -> None:
    assert manage(made, "PUT", "limits/none", {}, refused=400)["detail"].startswith("limits nothing: give")
    problem = manage(made, "PUT", "limits/team/nobodys/none", {"requests_per_minute": 5}, refused=400)
    assert problem["param"] == "team"
    assert manage(made, "POST", "keys", {"name": "lost", "team": "cores"}, refused=400)["param"] == "team"
    assert manage(made, "DELETE", "teams/core", refused=409)["code"] == "in_use"


def allowances(made: Fleet, name: str) -> dict[str, dict[str, Any]]:
    return {one["of"]: one for one in shared(made, name)["allowances"]}


def test_tokens_and_requests_under_way_are_those_of_all_keys_of_a_team_and_told_in_quota(made: Fleet) -> None:
    manage(made, "PUT", "teams/edge", {})
    keys = [key(made, name, team="edge") for name in ("edge-one", "edge-two")]
    document = {"tokens": {"total": 3000, "window": "5h"}, "requests": {"count": 500}, "concurrent": 3}
    manage(made, "PUT", "limits/team/edge/daily", document)
    in_step(made)
    seen = Counter[int]()
    for _ in range(6):
        seen += at_once(made, 24, keys, max_tokens=10, model="acme/sim+tokens:10+latency:20")
    assert set(seen) == {200, 429}
    eventually(lambda: made.open_reservations() == 0, 10)
    found = allowances(made, "team/edge/daily")
    assert (found["concurrent"]["used"], found["concurrent"]["held"]) == (0, 0)
    assert 0 < found["tokens"]["used"] <= 3000
    assert (found["tokens"]["held"], found["tokens"]["most"], found["tokens"]["window"]) == (0, 3000, "5h")
    assert found["tokens"]["resets_at"] > 0
    assert found["requests"]["used"] == seen[200]
    eventually(lambda: made.totals(keys[0])["requests"] + made.totals(keys[1])["requests"] == seen.total(), 15)
    totals = [made.totals(one) for one in keys]
    assert sum(one["input_tokens"] + one["output_tokens"] for one in totals) == found["tokens"]["used"]
    manage(made, "PUT", "limits/team/edge/daily", {"tokens": {"total": 1, "window": "5h"}})
    in_step(made)
    answer = made.ask("acme/sim", key=keys[0])
    assert (answer.status_code, int(answer.headers["retry-after"]) > 600) == (429, True)
    assert "the limit 'daily' of this key's team: its tokens in 5 hours are used up" in answer.text
    manage(made, "DELETE", "limits/team/edge/daily")
    manage(made, "PUT", "limits/team/edge/watched", {"tokens": {"total": 10}, "mode": "soft", "warn": [50, 100]})
    in_step(made)
    assert at_once(made, 6, keys, max_tokens=10) == {200: 6}
    (analytics,) = made["analytics"]
    eventually(lambda: analytics.metric("omniroute_analytics_limits_reached_total", of="tokens") == 2, 10)


def test_what_is_upstream_and_tags_have_limits_that_are_edited_while_they_run(
    made: Fleet, hooked: tuple[str, list[dict[str, Any]]]
) -> None:
    secret, tagged = key(made, "plain"), key(made, "tagged", tags=["batch"])
    limits = {
        "provider/acme/most": {"budget": {"usd": 0.0005, "window": "5h"}},
        "account/acme/first/most": {"requests": {"count": 500}},
        "model/acme/sim/most": {"tokens": {"output": 100}, "warn": [50]},
        "tier/api_key/most": {"concurrent": 100},
        "tag/batch/few": {"requests": {"count": 4}, "mode": "hard", "warn": [100]},
    }
    for name, document in limits.items():
        manage(made, "PUT", f"limits/{name}", document)
    in_step(made)

    def ask(model: str, key: str, tags: str = "") -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} | ({"x-omniroute-tags": tags} if tags else {})
        body = {"model": model, "messages": HELLO, "max_tokens": 10}
        return httpx.post(f"{made.openai}/chat/completions", json=body, headers=headers, timeout=30)

    assert [ask("acme/sim", *who).status_code for who in ((tagged,), (secret, "batch, blue")) * 2] == [200] * 4
    refused = ask("acme/sim", secret, "batch")
    assert refused.status_code == 429
    assert "the limit 'few' of a tag of this request: its requests a day are used up" in refused.text
    for _ in range(20):
        refused = ask("acme/sim", secret)
        if refused.status_code != 200:
            break
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "upstream_limit")
    assert "acme/most" not in refused.text
    manage(made, "PUT", "limits/account/acme/first/most", {"requests": {"count": 1}})
    in_step(made)
    foreseen = manage(made, "POST", "simulate-route", {"model": "acme/sim", "key": "plain"})
    assert foreseen["refused"]["code"] == "upstream_limit"
    assert foreseen["steps"][0]["cause"] == "limit"
    shown = {each["of"]: each for each in shared(made, "model/acme/sim/most")["allowances"]}
    assert 0 < shown["output"]["used"] <= 100
    assert shared(made, "tag/batch/few")["allowances"][0]["used"] == 4

    def few() -> list[dict[str, Any]]:
        return [one for one in made.get("/api/limit-events").json()["items"] if one["name"] == "tag/batch/few"]

    eventually(lambda: [one["webhook"] for one in few()] == ["delivered"], 10)
    (told,) = told_of(hooked, "tag/batch/few")
    assert (told["data"]["used"], told["data"]["percent"]) == (4, 100)
    assert told["webhook-signature"].startswith("v1,")
    manage(made, "PUT", "limits/provider/acme/most", {"budget": {"usd": 5, "window": "5h"}})
    for name in ("model/acme/sim/most", "tag/batch/few", "account/acme/first/most"):
        manage(made, "DELETE", f"limits/{name}")
    in_step(made)
    assert ask("acme/sim", secret, "batch").status_code == 200
    for name in ("provider/acme/most", "tier/api_key/most"):
        manage(made, "DELETE", f"limits/{name}")


def told_of(hooked: tuple[str, list[dict[str, Any]]], name: str, path: str = "/hook") -> list[dict[str, Any]]:
    return [one for one in [*hooked[1]] if one["data"]["name"] == name and one["path"] == path]


def is_told(hooked: tuple[str, list[dict[str, Any]]], name: str, path: str) -> bool:
    return bool(told_of(hooked, name, path))


def test_a_webhook_of_the_settings_is_named_and_moved_while_the_gateway_runs(
    made: Fleet, hooked: tuple[str, list[dict[str, Any]]]
) -> None:
    """As operations.md has it: signed with the secret that is auth's, at the URL of now, beside the process's own."""
    secret = key(made, "watched")
    base = hooked[0].removesuffix("/hook")
    pager = {"name": "pager", "secret": {"env": "PAGER_SECRET"}, "percents": [100], "allow_private_address": True}

    def use_up(tag: str) -> dict[str, Any]:
        """A limit of the tag, to its end; gives what the process's own webhook was told of that."""
        manage(made, "PUT", f"limits/tag/{tag}/few", {"requests": {"count": 2}, "mode": "soft", "warn": [50, 100]})
        in_step(made)
        headers = {"authorization": f"Bearer {secret}", "x-omniroute-tags": tag}
        for _ in range(2):
            body = {"model": "acme/sim", "messages": HELLO, "max_tokens": 10}
            answer = httpx.post(f"{made.openai}/chat/completions", json=body, headers=headers, timeout=30)
            assert answer.status_code == 200, answer.text
        eventually(lambda: len(told_of(hooked, f"tag/{tag}/few")) == 2, 20)
        return next(one for one in told_of(hooked, f"tag/{tag}/few") if one["data"]["percent"] == 100)

    manage(made, "POST", "settings/settings/adopt")  # from the file, which has no webhooks
    refused = {"webhooks": [pager | {"url": base, "secret": {"value": PAGER_SECRET}}]}
    answer = manage(made, "PUT", "settings/settings", {"notify": refused}, refused=400)
    assert PAGER_SECRET not in json.dumps(answer)
    for path, elsewhere, tag in (("/first", "/second", "moved1"), ("/second", "/first", "moved2")):
        manage(made, "PUT", "settings/settings", {"notify": {"webhooks": [pager | {"url": base + path}]}})
        in_step(made)
        own, name = use_up(tag), f"tag/{tag}/few"
        eventually(partial(is_told, hooked, name, path), 20)
        (told,) = told_of(hooked, name, path)
        assert told["data"] == own["data"]
        assert told["type"] == "limit.reached"
        assert told_of(hooked, name, elsewhere) == []
        signed = f"{told['webhook-id']}.{told['webhook-timestamp']}.".encode() + told["body"]
        digest = hmac.digest(base64.b64decode(PAGER_SECRET.removeprefix("whsec_")), signed, "sha256")
        assert told["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    shown = "".join(made.get(f"/api/{path}").text for path in ("settings/settings", "config/export", "audit"))
    assert "PAGER_SECRET" in shown
    assert PAGER_SECRET not in shown
    manage(made, "DELETE", "settings/settings")
    for tag in ("moved1", "moved2"):
        manage(made, "DELETE", f"limits/tag/{tag}/few")
    in_step(made)


# ---- how fast a provider may be asked -------------------------------------------------------------------------------


def paced(made: Fleet, model: str) -> dict[str, Any]:
    """What is known of the provider "paced", or of its account for a model."""
    found = [one for one in made.get("/api/quota").json()["rate_limits"] if one["provider"] == "paced"]
    (one,) = (one for one in found if one["model"] == model and bool(one["account_id"]) == bool(model))
    return dict(one)


def test_a_provider_s_rate_limit_holds_over_all_routers_and_is_edited_while_they_run(
    made: Fleet, provider_url: str
) -> None:
    provider = {
        "format": "openai.chat",
        "base_url": f"{provider_url}/v1",
        "allow_private_address": True,
        "models": [{"id": "*"}],
        "rate_limit": {"concurrent": 1},
    }
    manage(made, "PUT", "providers/paced", provider)
    manage(made, "PUT", "accounts/paced/a", {"api_key": {"value": "any"}})
    secret = key(made, "paced")
    model = "paced/sim+at-once:1+latency:100+quota:5000"

    def ask() -> Counter[int]:
        return at_once(made, 8, [secret], model=model)

    assert ask() == {200: 8}, "the provider takes one at a time, and none is refused"
    found = paced(made, "")
    assert (found["concurrent"], found["under_way"], found["waiting"]) == (1, 0, 0)
    learned = paced(made, model.removeprefix("paced/"))
    assert (learned["requests_per_minute"], learned["learned"], learned["requests_in_window"]) == (5000, "told", 7)
    manage(made, "PUT", "providers/paced", provider | {"rate_limit": {"requests_per_minute": 8}})
    in_step(made)
    assert at_once(made, 12, [secret], model="paced/sim") == {200: 8, 429: 4}
    manage(made, "POST", "quota/rates/paced/a/forget")
    assert not [one for one in made.get("/api/quota").json()["rate_limits"] if one["model"] == learned["model"]]
    refused = {**provider, "rate_limit": {"min_gap": 2, "requests_per_minute": 60}}
    told = manage(made, "PUT", "providers/paced", refused, refused=400)
    assert "lets 30 requests a minute through" in str(told)
