"""The short forms: that the suite measures what it says. Its long form is ``make security``."""

import random
from pathlib import Path

import pytest
from omni_core import addresses

from tests.security import (
    access,
    access_table,
    bombs,
    canary,
    content,
    flood,
    listing,
    log_ins,
    schema,
    siege,
    smuggling,
    ssrf,
    timing,
    vault,
)
from tests.security.welch import THRESHOLD, cropped, welch
from tests.security.world import world


def test_equal_samples_are_not_told_apart_and_a_small_shift_is() -> None:
    chance = random.Random(1)
    left, right = ([chance.gauss(100, 5) for _ in range(10_000)] for _ in range(2))
    assert abs(welch(left, right)) < THRESHOLD
    assert abs(cropped(left, right)) < THRESHOLD
    assert welch([time + 1 for time in left], right) > THRESHOLD
    assert cropped([time + 1 for time in left], right) > THRESHOLD
    slow = [time + (10_000 if chance.random() < 0.01 else 0) for time in left]
    assert cropped(slow, [time + 1 for time in right]) < -THRESHOLD, "what is slow for its own reasons hides nothing"


async def test_noise_never_reaches_auth_and_guesses_do_once() -> None:
    figures = await flood.of_noise_and_guesses(2_000, seed=1)
    assert figures["pass"], figures


async def test_no_request_hides_another(tmp_path: Path) -> None:
    figures = await smuggling.of_the_corpus(tmp_path, 1)
    assert figures["pass"], figures["first"]
    assert figures["refused"] >= 80


async def test_heads_that_never_end_are_ended() -> None:
    figures = await siege.of_slow_heads(100, 1.5, quiet=0)
    assert figures["in_time"], figures


async def test_a_flood_of_connections_is_turned_away_at_the_door() -> None:
    figures = await siege.of_connections(200, 20, quiet=0)
    assert figures["in_time"], figures


async def test_a_flood_of_wrong_keys_is_looked_at_so_far_and_no_further() -> None:
    figures = await siege.of_requests(4, 50, seconds=1.5, quiet=0)
    assert figures["in_time"], figures


async def test_a_small_body_that_becomes_a_large_one_is_let_grow_no_further() -> None:
    figures = await bombs.of_gzip(1_024)
    assert figures["pass"], figures


async def test_documents_without_end_are_refused_in_every_dialect(tmp_path: Path) -> None:
    figures = await bombs.of_nested(tmp_path, 1)
    assert figures["pass"], figures["first"]


@pytest.mark.parametrize("measured", [timing.in_auth, timing.at_the_edge], ids=["auth", "edge"])
async def test_no_key_that_is_none_is_taken_while_times_are_measured(measured: object, tmp_path: Path) -> None:
    figures = await measured(tmp_path, 50, 1)  # type: ignore[operator]
    assert figures["samples"] == 50
    assert {"t", "median_us_wrong", "median_us_unknown"} <= set(figures)


def test_nothing_that_openapi_allows_or_forbids_is_answered_with_a_fault_of_ours(tmp_path: Path) -> None:
    figures = schema.of_everything(tmp_path, 100, 1, every=12)
    assert figures["pass"], figures["first_errors"] + figures["first_undescribed"]
    assert figures["cases"] > 60
    assert figures["taken"]["positive"] > 0.2


def test_no_request_fails_while_a_rotation_is_killed_and_ended_by_the_next(tmp_path: Path) -> None:
    figures = vault.under_load(tmp_path, "all", credentials=52, rotations=1, kills=1, seed=1)
    assert figures["pass"], figures
    assert figures["left_half_done"] == 2


async def test_every_route_is_open_to_whom_the_table_says_and_to_nobody_else(tmp_path: Path) -> None:
    figures = await access.of_every_route(tmp_path, 1, kinds=("teams", "limits"))
    assert figures["pass"], figures["first"]
    assert figures["asked"] > 1_000


async def test_on_one_port_no_route_of_the_management_api_is_hidden_by_one_of_the_models(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        routes = access.routes_of(made)
    both = {route for app, route in routes if app == "edge"} & {route for app, route in routes if app == "dashboard"}
    assert not {route for route in both if "/api/" in route}


async def test_a_route_that_nobody_declared_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as made:
        assert not [*access.undeclared(made)]
        made.api.router.add_api_route("/api/secrets", lambda: None, methods=["GET"])
        monkeypatch.setattr(access_table, "EDGE", access_table.EDGE.replace("/api/tags", "/api/labels"))
        assert [*access.undeclared(made)] == [
            "dashboard: GET /api/secrets is not in the table",
            "edge: GET /api/tags is not in the table",
            "edge: GET /api/labels is in the table and is not there",
        ]


def test_no_secret_stands_where_it_was_not_put(tmp_path: Path) -> None:
    figures = canary.of_a_whole_gateway(tmp_path, 1, "all", brief=True)
    assert figures["pass"], figures["first"]
    assert figures["places"] > 100


@pytest.mark.parametrize("held_to", [ssrf.of_every_spelling, ssrf.of_rebinding, ssrf.of_leave])
async def test_no_url_leads_where_nobody_may_go(held_to: object) -> None:
    figures = await held_to(1)  # type: ignore[operator]
    assert figures["pass"], figures["first"]


async def test_a_guard_with_a_gap_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_SPECIAL", ())
    figures = await ssrf.of_every_spelling(1)
    assert figures["let_through"] > 10


def test_a_key_is_shown_the_models_that_it_may_call_and_no_others() -> None:
    figures = listing.of_random_catalogues(60, 1)
    assert figures["pass"], figures["first"]
    assert 0 < figures["callable"] < figures["models"]
    assert figures["off"] > 0


def test_personal_data_is_found_in_labelled_texts_and_no_cut_hides_any() -> None:
    figures = content.of_pii(every=7)
    assert figures["pass"], figures
    assert figures["texts"] >= 300


def test_injections_are_found_in_labelled_requests_and_harmless_ones_pass() -> None:
    figures = content.of_injection()
    assert figures["pass"], figures
    assert figures["attempts"] >= 200
    assert figures["benign"] >= 300


async def test_nobody_is_let_in_while_log_ins_are_timed(tmp_path: Path) -> None:
    figures = await log_ins.of_every_kind(tmp_path, 20, 1, kib=64)
    assert figures["samples"] == 20
    assert {"t_unknown", "t_disabled", "median_ms_wrong"} <= set(figures)
