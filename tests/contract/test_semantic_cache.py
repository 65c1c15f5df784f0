"""The cache by meaning: routers that share a real Redis, in front of a simulated provider that has vectors, too."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_catalogue.rules import Rules
from omni_catalogue.scopes import Scopes
from omni_core.ids import new_id
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_wire.errors import CredentialUnavailable, DependencyUnavailable

from tests.support.recorded import Asking, Recorder, crash, recorders
from tests.support.router import PATIENT, PRICE, provider, until

Routers = Sequence[Recorder]
MODEL = "acme/sim+tokens:5+input:20"
EMBED = "acme/embed+input:8"
COST, VECTOR_COST = 20 * 1_250 + 5 * 10_000, 8 * 1_250  # nano-USD, by tests.support.router.PRICE
ASKED, OTHER_WORDS = "How do I reset my password?", "What is the way to change a password?"
HANGS = "acme/embed+hang"
ANOTHER = "How do I reset my router?"
PATIENTLY = 20.0  # seconds that a look may take, where nothing is said of that


def use(routers: Routers, *keys: s.KeyPolicy, breaker: s.BreakerPolicy | None = None, **changes: Any) -> None:
    fields: dict[str, Any] = {"requests": "any", "embeddings": EMBED, "timeout": PATIENTLY} | changes
    caching = s.Caching(requests="any", ttl=1000, semantic=s.Semantic(**fields))
    for router in routers:
        router.configure(
            keys=keys or (s.KeyPolicy(id="key-all", name="all"),),
            routing=s.Routing(breaker=breaker, timeouts=PATIENT, caching=caching),
        )


@pytest.fixture
async def routers(clean_redis: str) -> AsyncIterator[Routers]:
    async with recorders(clean_redis, 2) as made:
        use(made)
        yield made


async def ask(router: Recorder, text: Any, wish: str = "", model: str = MODEL, **options: Any) -> Asking:
    headers = options.pop("headers", {}) | ({"x-omniroute-cache": wish} if wish else {})
    said = [*options.pop("before", []), {"role": "user", "content": text}]
    return await router.begin(model, None, headers=headers, messages=said, **options).done()


async def kept(router: Recorder, text: str = ASKED, **options: Any) -> Asking:
    """Ask and wait until others may be told."""
    before = looked(router, "kept")
    asked = await ask(router, text, **options)
    assert await until(lambda: looked(router, "kept") == before + 1)
    return asked


def word(asked: Asking) -> str:
    assert asked.error is None
    assert asked.head is not None
    return asked.head.cache


def looked(router: Recorder, outcome: str) -> float:
    return router.registry.get_sample_value("omniroute_router_semantic_cache_total", {"outcome": outcome}) or 0.0


def answered(router: Recorder) -> int:
    return router.simulator.requests["/v1/chat/completions"]


def embedded(router: Recorder) -> int:
    return router.simulator.requests["/v1/embeddings"]


@pytest.mark.parametrize("stream", [False, True])
async def test_other_words_of_the_same_meaning_are_told_the_same_answer_by_every_router(
    routers: Routers, stream: bool
) -> None:
    first = await kept(routers[0], stream=stream)
    found = [await ask(router, OTHER_WORDS, stream=stream) for router in routers]
    assert [word(each) for each in (first, *found)] == ["miss", "semantic", "semantic"]
    assert {each.data for each in found} == {first.data}
    assert [each.head and each.head.similarity for each in found] == [pytest.approx(1.0, abs=0.01)] * 2
    assert [each.head and each.head.stream for each in found] == [stream] * 2
    assert word(await ask(routers[1], ASKED, stream=stream)) == "hit"
    assert answered(routers[0]) == 1
    assert [looked(router, "hit") for router in routers] == [1, 1]


async def test_a_hit_costs_its_vector_and_what_it_saved_is_told(routers: Routers) -> None:
    await kept(routers[0])
    assert word(await ask(routers[1], OTHER_WORDS)) == "semantic"
    attempts, requests = await routers[1].events()
    assert [
        (event.provider_format, event.model, event.outcome, event.cost_nano_usd, event.usage.input_tokens)
        for event in attempts
    ] == [("openai.embeddings", "embed+input:8", "ok", VECTOR_COST, 8)]
    assert [(event.outcome, event.cost_nano_usd, event.attempts) for event in requests] == [("cached", 0, 0)]
    assert attempts[0].request_id == requests[0].id
    assert json.loads(requests[0].decision)["similarity"] == pytest.approx(1.0, abs=0.01)
    saved = [
        routers[1].registry.get_sample_value(f"omniroute_router_cache_saved_{what}_total") for what in ("tokens", "usd")
    ]
    assert saved == [25, pytest.approx(COST / 1e9)]
    calls = routers[1].registry.get_sample_value(
        "omniroute_router_attempts_total", {"provider": "acme", "format": "openai.embeddings"}
    )
    assert calls == 1


@pytest.mark.parametrize(
    "other",
    [
        {"text": ANOTHER},
        {"text": "How do I not reset my password?"},
        {"text": "How do I reset my password 2?"},
        {"text": "How do I reset my `password`?"},
        {"model": "acme/sim"},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"response_format": {"type": "json_object"}},
        {"before": [{"role": "system", "content": "Be brief"}]},
        {"before": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
        {"stream": True},
        {"temperature": 1},
        {"key": "another"},
        {"headers": {"x-omniroute-translation": "strict"}},
    ],
)
async def test_another_question_another_request_and_another_key_are_not(
    routers: Routers, other: dict[str, Any]
) -> None:
    use(routers, *(s.KeyPolicy(id=name, name=name) for name in ("key-all", "another")))
    await kept(routers[0])
    options = {"text": OTHER_WORDS} | other
    assert word(await ask(routers[0], **options)) == "miss"
    assert answered(routers[0]) == 2


async def test_who_it_is_for_does_not_matter(routers: Routers) -> None:
    await kept(routers[0], user="one")
    assert word(await ask(routers[0], OTHER_WORDS, user="two")) == "semantic"


async def test_what_is_not_text_alone_or_has_no_time_is_not_compared(routers: Routers) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert word(await ask(routers[0], [{"type": "text", "text": ASKED}, image])) == "miss"
    assert word(await ask(routers[0], ASKED, headers={"x-omniroute-timeouts": "total=20"})) == "miss"
    assert (embedded(routers[0]), looked(routers[0], "unfit")) == (0, 2)


async def test_who_has_it_is_for_the_configuration_its_rules_and_the_client_to_say(routers: Routers) -> None:
    keys = [s.KeyPolicy(id=name, name=name, rules=Rules(semantic_cache=name)) for name in ("any", "off", "asked")]
    use(routers, *keys, requests="asked")

    async def words(key: str, wish: str = "") -> str:
        return word(await ask(routers[0], OTHER_WORDS, wish, key=key))

    for key in ("any", "off", "asked"):
        await ask(routers[0], ASKED, "semantic", key=key)
    assert await until(lambda: looked(routers[0], "kept") == 2)
    assert [await words("any", "exact"), await words("off", "semantic"), await words("asked")] == ["miss"] * 3
    use(routers, *keys, requests="asked", embeddings="acme/embed")  # so that nothing is there any more
    for key in ("any", "asked"):
        await kept(routers[0], ASKED + "!", wish="semantic", key=key)
    said = "Please tell me what is the way to change my password!"
    assert word(await ask(routers[0], said, key="any")) == "semantic"
    assert word(await ask(routers[0], said, "semantic", key="asked")) == "semantic"


async def test_nothing_is_embedded_unless_it_is_configured(routers: Routers) -> None:
    for router in routers:
        router.configure(routing=s.Routing(breaker=None, timeouts=PATIENT, caching=s.Caching(requests="any")))
    assert [word(await ask(routers[0], text, "semantic")) for text in (ASKED, OTHER_WORDS, ASKED)] == [
        "miss", "miss", "hit",
    ]  # fmt: skip
    assert embedded(routers[0]) == 0
    assert [name async for name in routers[0].redis.scan_iter("cache:near:*")] == []


async def test_the_threshold_decides(routers: Routers) -> None:
    use(routers, threshold=0.3)
    await kept(routers[0])
    found = await ask(routers[0], ANOTHER)
    assert word(found) == "semantic"
    assert found.head is not None
    assert 0.3 < found.head.similarity < 0.7


async def test_refresh_makes_a_new_answer_that_is_found_by_meaning(routers: Routers) -> None:
    await kept(routers[0], ASKED)
    assert word(await kept(routers[0], OTHER_WORDS, wish="refresh")) == "miss"
    assert answered(routers[0]) == 2
    assert word(await ask(routers[1], "Change the password, please")) == "semantic"


async def test_what_points_to_no_answer_any_more_is_a_miss_and_removed(routers: Routers) -> None:
    await kept(routers[0])
    async for name in routers[0].redis.scan_iter("cache:{*"):
        await routers[0].redis.delete(name)
    assert word(await ask(routers[0], OTHER_WORDS)) == "miss"
    assert looked(routers[0], "stale") == 1
    assert await until(lambda: looked(routers[0], "kept") == 2)
    assert word(await ask(routers[1], ASKED)) == "semantic"


async def test_vectors_live_for_their_time_and_the_oldest_of_too_many_goes(routers: Routers) -> None:
    use(routers, ttl=100, max_entries=2)
    for text in (ASKED, "Where is the capital?", "Who wrote this play?"):
        await kept(routers[0], text)
    redis = routers[0].redis
    names = sorted([name async for name in redis.scan_iter("cache:near:*")])
    assert [await redis.type(name) for name in names] == [b"zset", b"hash"]
    assert (await redis.zcard(names[0]), await redis.hlen(names[1])) == (2, 4)
    assert all([90 < await redis.ttl(name) <= 100 for name in names])
    said = ("Tell me where the capital is.", "Say who wrote this play.", OTHER_WORDS)
    assert [word(await ask(routers[1], text)) for text in said] == ["semantic", "semantic", "miss"]


async def test_identical_requests_at_once_are_one_look_and_one_call(routers: Routers) -> None:
    slow = {"model": "acme/sim+latency:300"}
    asked = await asyncio.gather(*(ask(routers[at % 2], ASKED, **slow) for at in range(6)))
    assert sorted(word(each) for each in asked) == ["hit"] * 5 + ["miss"]
    assert (answered(routers[0]), embedded(routers[0])) == (1, 1)


@pytest.mark.parametrize(
    ("embeddings", "outcome", "changes"),
    [
        ("acme/embed+status:500", "failed", {}),
        ("acme/embed+malformed", "failed", {}),
        ("acme/embed+reset", "failed", {}),
        ("acme/embed+hang", "late", {"timeout": 0.3}),
        ("gone/embed", "refused", {}),
    ],
)
async def test_whatever_happens_to_the_vectors_the_request_is_answered(
    routers: Routers, embeddings: str, outcome: str, changes: dict[str, Any]
) -> None:
    use(routers, embeddings=embeddings, **changes)
    assert [word(await ask(routers[0], text)) for text in (ASKED, OTHER_WORDS)] == ["miss", "miss"]
    assert (answered(routers[0]), looked(routers[0], outcome), looked(routers[0], "kept")) == (2, 2, 0)
    assert word(await ask(routers[0], ASKED)) == "hit"
    attempts, _ = await routers[0].events()
    assert sum(event.cost_nano_usd for event in attempts if event.provider_format == "openai.embeddings") == 0
    assert await routers[0].open_holds() == 0


async def test_a_breaker_that_is_open_spares_the_wait(routers: Routers) -> None:
    use(routers, embeddings="acme/embed+status:500", breaker=s.BreakerPolicy(failures=2, open_for=600))
    for number in range(4):
        assert word(await ask(routers[0], f"Question number {number}")) == "miss"
        assert await routers[0].ledger.flush(5.0)
    assert (embedded(routers[0]), looked(routers[0], "failed"), looked(routers[0], "refused")) == (2, 2, 2)


async def test_where_the_vectors_of_one_account_cannot_be_had_those_of_the_next_will_do(routers: Routers) -> None:
    accounts = tuple(s.Account(id=f"acme/{name}", name=name, secret_version="1") for name in ("first", "second"))
    acme = provider("acme", f"{routers[0].simulator.url}/v1", accounts=accounts)
    embeddings = "acme/embed+status:503+only-key:secret-of-acme%2Ffirst"
    semantic = s.Semantic(requests="any", embeddings=embeddings, timeout=PATIENTLY)
    caching = s.Caching(requests="any", semantic=semantic)
    routers[0].configure(acme, routing=s.Routing(breaker=None, timeouts=PATIENT, caching=caching))
    await kept(routers[0])
    assert word(await ask(routers[0], OTHER_WORDS)) == "semantic"
    attempts, _ = await routers[0].events()
    told = [(event.account_id, event.outcome) for event in attempts if event.provider_format == "openai.embeddings"]
    assert told == [("acme/first", "failed"), ("acme/second", "ok")] * 2


async def test_of_an_account_whose_credential_cannot_be_had_nothing_is_told_as_nothing_was_asked(
    routers: Routers, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = tuple(s.Account(id=f"acme/{name}", name=name, secret_version="1") for name in ("first", "second"))
    acme = provider("acme", f"{routers[0].simulator.url}/v1", accounts=accounts)
    semantic = s.Semantic(requests="any", embeddings=EMBED, timeout=PATIENTLY)
    caching = s.Caching(requests="any", semantic=semantic)
    routers[0].configure(acme, routing=s.Routing(breaker=None, timeouts=PATIENT, caching=caching))
    have = routers[0].auth.credential

    async def credential(context: CallContext, account_id: str) -> Credential:
        if account_id == "acme/first":
            raise CredentialUnavailable("it cannot be had")
        return await have(context, account_id)

    monkeypatch.setattr(routers[0].auth, "credential", credential)
    await kept(routers[0])
    assert word(await ask(routers[0], OTHER_WORDS)) == "semantic"
    attempts, _ = await routers[0].events()
    assert {(event.account_id, event.outcome) for event in attempts} == {("acme/second", "ok")}
    assert len([event for event in attempts if event.provider_format == "openai.embeddings"]) == 2
    assert await routers[0].open_holds() == 0


async def test_a_vector_is_held_on_the_keys_budget_and_charged_to_it(routers: Routers) -> None:
    key = s.KeyPolicy(id="key-all", name="all", budget=s.Budget(nano_usd=10_000_000_000))
    use(routers, key)
    await kept(routers[0])
    assert word(await ask(routers[0], OTHER_WORDS)) == "semantic"
    assert await routers[0].money("key-all") == (COST + 2 * VECTOR_COST, 0)
    use(routers, key, embeddings="acme/free")  # without a price, which this budget does not take
    embeddings = embedded(routers[0])
    assert word(await ask(routers[0], ANOTHER)) == "miss"
    assert (embedded(routers[0]), looked(routers[0], "refused")) == (embeddings, 1)


async def test_a_key_that_may_not_use_a_provider_sends_it_no_words(routers: Routers) -> None:
    base = routers[0].simulator.url
    key = s.KeyPolicy(id="key-all", name="all", scopes=Scopes(providers=("acme",)))
    semantic = s.Semantic(requests="any", embeddings="other/embed", timeout=PATIENTLY)
    routers[0].configure(
        *(provider(name, f"{base}/v1", models=(s.Model(id="*", price=PRICE),)) for name in ("acme", "other")),
        keys=(key,),
        routing=s.Routing(breaker=None, timeouts=PATIENT, caching=s.Caching(requests="any", semantic=semantic)),
    )
    assert word(await ask(routers[0], ASKED)) == "miss"
    assert (embedded(routers[0]), looked(routers[0], "refused")) == (0, 1)


async def test_no_vector_is_asked_for_at_an_address_that_nobody_allowed(routers: Routers) -> None:
    base = f"{routers[0].simulator.url}/v1"
    semantic = s.Semantic(requests="any", embeddings="guarded/embed", timeout=PATIENTLY)
    routers[0].configure(
        provider("acme", base),
        provider("guarded", base, allow_private_address=False),
        routing=s.Routing(breaker=None, timeouts=PATIENT, caching=s.Caching(requests="any", semantic=semantic)),
    )
    assert word(await ask(routers[0], ASKED)) == "miss"
    assert (embedded(routers[0]), looked(routers[0], "failed")) == (0, 1)


async def test_a_client_that_leaves_during_a_look_leaves_nothing_held_and_what_may_be_billed(routers: Routers) -> None:
    use(routers, s.KeyPolicy(id="key-all", name="all", budget=s.Budget(nano_usd=10_000_000_000)), embeddings=HANGS)
    asked = routers[0].begin(MODEL, None, messages=[{"role": "user", "content": ASKED}])
    assert await until(lambda: embedded(routers[0]) == 1)
    await asked.leave()
    assert await until(lambda: routers[0].simulator.active == 0)
    attempts, _ = await routers[0].events()
    assert [(event.outcome, event.usage.input_tokens, event.usage.estimated) for event in attempts] == [
        ("cancelled", 7, True)
    ]
    assert await routers[0].money("key-all") == (7 * 1_250, 0)
    assert await routers[0].open_holds() == 0


async def test_text_that_is_no_text_is_no_harm(routers: Routers) -> None:
    call = routers[0].call(MODEL)
    for said in (b"\\ud800", b"\\u0000", b"x" * 5000):
        body = call.body.replace(b"Say something", said)
        found = await routers[0].begin_call(msgspec.structs.replace(call, body=body, event_id=new_id())).done()
        assert found.error is None or found.error.status == 400


async def test_a_hit_counts_towards_the_keys_requests_per_minute(routers: Routers) -> None:
    use(routers, s.KeyPolicy(id="key-all", name="all", requests_per_minute=2))
    await kept(routers[0])
    asked = [await ask(routers[0], text) for text in (OTHER_WORDS, "Change my password please")]
    assert [each.error.status if each.error else 200 for each in asked] == [200, 429]


async def test_while_redis_is_away_the_request_is_answered(routers: Routers) -> None:
    await kept(routers[0])
    routers[1].meanings._scripts = routers[1].store._scripts
    crash(routers[1])
    assert word(await ask(routers[1], OTHER_WORDS)) == "bypass"

    async def away(*_: Any) -> Any:
        raise DependencyUnavailable("away")

    routers[0].meanings._scripts.call = away  # type: ignore[method-assign]
    assert word(await ask(routers[0], OTHER_WORDS)) == "miss"
    assert looked(routers[0], "away") >= 1


async def test_a_trace_says_that_other_words_were_answered(routers: Routers) -> None:
    await kept(routers[0], headers={"x-omniroute-trace": "on"})
    found = await ask(routers[0], OTHER_WORDS, headers={"x-omniroute-trace": "on"})
    assert found.head is not None
    assert found.head.trace == f"model {MODEL}; the answer to other words, similarity 1.0"


async def test_vectors_are_asked_for_no_faster_than_their_provider_takes(routers: Routers) -> None:
    base = f"{routers[0].simulator.url}/v1"
    semantic = s.Semantic(requests="any", embeddings="vectors/embed", timeout=PATIENTLY)
    for router in routers:
        router.configure(
            provider("acme", base),
            provider("vectors", base, rate_limit=s.RateLimit(requests_per_minute=1)),
            routing=s.Routing(timeouts=PATIENT, caching=s.Caching(requests="any", ttl=1000, semantic=semantic)),
        )
    await kept(routers[0])
    assert word(await ask(routers[1], OTHER_WORDS)) == "miss", "nobody looks, and the request goes on"
    assert embedded(routers[0]) == 1


async def test_a_vector_is_a_request_upstream_and_where_that_is_used_up_none_is_asked_for(
    routers: Routers,
) -> None:
    base = f"{routers[0].simulator.url}/v1"
    semantic = s.Semantic(requests="any", embeddings="vectors/embed", timeout=PATIENTLY)
    caching = s.Caching(requests="any", ttl=1000, semantic=semantic)
    few = s.Allowance(of="requests", most=1, window="day")
    upstream = s.Limit(id="few", name="few", of="provider", owner="vectors", allowances=(few,))
    mine = s.Limit(id="mine", name="mine", of="tag", owner="batch", budget=s.Budget(nano_usd=10**12))
    for router in routers:
        router.configure(
            provider("acme", base),
            provider("vectors", base),
            limits=(upstream, mine),
            routing=s.Routing(breaker=None, timeouts=PATIENT, caching=caching),
        )
    tagged = {"x-omniroute-tags": "batch"}
    await kept(routers[0], headers=tagged)
    spent, held = await routers[0].money("limit:mine")
    attempts, _ = await routers[0].events()
    assert (spent, held) == (sum(event.cost_nano_usd for event in attempts), 0), "the vector's, too"
    assert embedded(routers[0]) == 1
    assert word(await ask(routers[1], OTHER_WORDS, headers=tagged)) == "miss", "nobody looks, and the request goes on"
    assert embedded(routers[0]) == 1
    assert word(await ask(routers[1], ASKED, headers=tagged)) == "hit", "which takes nothing upstream"
