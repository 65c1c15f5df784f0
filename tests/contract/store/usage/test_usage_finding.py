"""One request is found by an id, for those who may see it, with its attempts and its decision."""

from pathlib import Path

import msgspec
from omni_analytics.adapters.finding import _ATTEMPTS, _BY_ID, _BY_TOLD
from omni_analytics.adapters.store import SqlStore
from omni_core.ports.analytics import AttemptFound, RequestFound
from omni_wire.usage import Usage

from tests.support.usage_store import Usage as Place
from tests.unit.analytics.events import ATTEMPT, REQUEST, T0

change = msgspec.structs.replace
DECISION = b'{"model":"always-on","steps":[]}'


async def decision_of(store: SqlStore, id_: str = "r1") -> bytes:
    found = await store.find_request(id_, None)
    assert found is not None
    return found.decision


async def test_a_request_is_told_as_it_was_recorded_with_its_attempts_in_order(store: SqlStore) -> None:
    second = change(ATTEMPT, id="a0", started_ms=T0 + 5, overrun=True)
    await store.record([second, change(ATTEMPT, id="a9", request_id="r9"), ATTEMPT])
    await store.record([change(REQUEST, losses='["top_k","n"]', decision=DECISION)])
    found = await store.find_request("r1", None)
    attempt = AttemptFound(
        id="a1", started_ms=T0, duration_ms=900, first_byte_ms=120, provider="acme", account_id="acme/first",
        model="gpt-x", provider_format="openai.chat", outcome="ok", error_kind="", provider_status=200,
        usage=Usage(100, 10, 5, 50, 7), cost_nano_usd=600_000, reserved_nano_usd=900_000, pricing="priced",
        overrun=False, router_id="router-1", request_id="r1", key_id="k1", price_version="v1",
        charged=("key", "limit-all"),
    )  # fmt: skip
    assert found == RequestFound(
        id="r1", request_id="mine", started_ms=T0, duration_ms=950, first_byte_ms=130, key_id="k1",
        client_format="openai.chat", model_requested="always-on", combo="always-on", provider="acme",
        account_id="acme/first", model_served="gpt-x", stream=True, status=200, error_kind="",
        usage=Usage(100, 10, 5, 50, 7), cost_nano_usd=600_000, pricing="priced", outcome="ok",
        losses=("top_k", "n"), config_revision=3, router_id="router-1",
        attempts=(attempt, change(attempt, id="a0", started_ms=T0 + 5, overrun=True)), decision=DECISION,
        overhead_us=430,
    )  # fmt: skip


async def test_what_a_client_repeats_means_the_newest_that_the_asker_may_see(store: SqlStore) -> None:
    await store.record(
        [REQUEST, change(REQUEST, id="r2", started_ms=T0 + 9), change(REQUEST, id="r3", started_ms=T0 + 3, key_id="k2")]
    )

    async def seen(id_: str, keys: tuple[str, ...] | None) -> str | None:
        found = await store.find_request(id_, keys)
        return found.id if found is not None else None

    assert await seen("mine", None) == "r2"
    assert await seen("mine", ("k2",)) == "r3"
    assert await seen("mine", ("k1", "k2")) == "r2"
    assert await seen("mine", ("k3",)) is await seen("mine", ()) is await seen("yours", None) is None
    assert await seen("r3", None) == "r3"
    assert await seen("r3", ("k1",)) is None


async def test_whose_client_chose_no_id_is_found_by_the_one_it_was_given(store: SqlStore) -> None:
    await store.record([change(REQUEST, request_id="r1")])
    found = await store.find_request("r1", ("k1",))
    assert found is not None
    assert found.attempts == ()
    assert found.decision == b""


async def test_a_decision_is_replaced_with_its_request_and_by_nothing_older(store: SqlStore) -> None:
    await store.record([change(REQUEST, decision=b"{}")])
    await store.record([change(REQUEST, seq=2, decision=DECISION)])
    assert await decision_of(store) == DECISION
    await store.record([change(REQUEST, seq=1, decision=b"{}")])
    assert await decision_of(store) == DECISION
    await store.record([change(REQUEST, seq=3)])
    assert await decision_of(store) == b"", "what was decided is of a row that is no more"


async def test_of_one_id_twice_in_a_batch_the_decision_of_the_highest_seq_stays(store: SqlStore) -> None:
    rows = [change(REQUEST, seq=0, decision=b"{}"), change(REQUEST, decision=DECISION), change(REQUEST, id="r2")]
    await store.record(rows)
    assert (await decision_of(store), await decision_of(store, "r2")) == (DECISION, b"")


def test_nothing_is_searched_through(tmp_path: Path) -> None:
    """Each question is answered out of an index."""
    database = Place("sqlite", tmp_path, None).database()
    database.open()
    asked = ((_BY_ID, ("x",)), (_BY_TOLD, ("x",)), (_ATTEMPTS, ("x", 9)))
    told = " ".join(row[3] for sql, values in asked for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", values))
    database.close()
    assert "SCAN" not in told
    assert "request_row_told" in told
    assert "attempt_row_request" in told
