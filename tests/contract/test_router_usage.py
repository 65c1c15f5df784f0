"""What a provider says it used, whatever it says: what is believed of it, how it is marked, and what it costs. And what
a price costs by the day, by account and by who asks."""

import itertools
from typing import Any

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_catalogue.prices import Dated, Price, Special, Terms, cost, scaled, version
from omni_core import clock
from omni_core.usage_message import read
from omni_wire.errors import GatewayError
from omni_wire.formats import WireFormat
from omni_wire.usage import Apart

from tests.support.router import PRICE, Harness, provider
from tests.support.scripted import answering, scripted

NOW = 1_790_000_000_000


def http(body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chat(usage: str, *, stream: bool, more: str = "") -> bytes:
    """An answer of some twelve tokens by its bytes, with this for its usage."""
    said = "word " * 9
    if stream:
        chunk = '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[%s]%s}'
        words = chunk % ('{"index":0,"delta":{"role":"assistant","content":"' + said + '"},"finish_reason":null}', "")
        end = chunk % ('{"index":0,"delta":{},"finish_reason":"stop"}', "")
        count = chunk % ("", f',"usage":{usage}{more}')
        body = "".join(f"data: {each}\n\n" for each in (words, end, count, "[DONE]"))
        return http(body.encode(), "text/event-stream")
    message = '{"index":0,"message":{"role":"assistant","content":"' + said + '"},"finish_reason":"stop"}'
    whole = '{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[%s],"usage":%s%s}'
    return http((whole % (message, usage, more)).encode())


def messages(usage: str) -> bytes:
    whole = (
        '{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"%s"}],'
        '"stop_reason":"end_turn","stop_sequence":null,"usage":%s}'
    )
    return http((whole % ("word " * 9, usage)).encode())


MESSAGES_STREAM = "".join(
    f"event: {kind}\ndata: {data}\n\n"
    for kind, data in (
        (
            "message_start",
            '{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],'
            '"usage":{"input_tokens":100,"output_tokens":1,"service_tier":"batch"}}}',
        ),
        (
            "content_block_start",
            '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
        ),
        (
            "content_block_delta",
            '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"word"}}',
        ),
        ("content_block_stop", '{"type":"content_block_stop","index":0}'),
        (
            "message_delta",
            '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":20}}',
        ),
        ("message_stop", '{"type":"message_stop"}'),
    )
)


async def used(gw: Harness, answer: bytes, *, stream: bool = False, **fields: Any) -> Any:
    """The attempt's event of one request that is answered so."""
    wire_format = fields.pop("wire_format", WireFormat.OPENAI_CHAT)
    async with scripted(answering(answer)) as server:
        models = (s.Model(id="*", **({"price": PRICE} | fields)),)
        gw.configure(provider("acme", server.url, wire_format, models=models))
        await gw.ask("acme/m", stream=stream)
    (attempt,), _ = await gw.events()
    return attempt


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "usage",
    [
        '{"prompt_tokens": -5, "completion_tokens": -1}',
        '{"prompt_tokens": 10.5, "completion_tokens": "some"}',
        '{"prompt_tokens": [], "completion_tokens": {}}',
    ],
)
async def test_counts_that_are_none_are_estimated_and_marked(gw: Harness, usage: str, stream: bool) -> None:
    attempt = await used(gw, chat(usage, stream=stream), stream=stream)
    assert (attempt.usage.suspect, attempt.usage.estimated, attempt.outcome) == ("unreadable", True, "ok")
    assert attempt.usage.input_tokens > 0
    assert attempt.usage.output_tokens >= 10
    assert attempt.cost_nano_usd == cost(read(attempt.usage), PRICE)


@pytest.mark.parametrize("stream", [False, True])
async def test_counts_that_nobody_can_come_to_are_not_believed(gw: Harness, stream: bool) -> None:
    huge = 2**53 + 1
    usage = f'{{"prompt_tokens": {huge}, "completion_tokens": {huge}}}'
    attempt = await used(gw, chat(usage, stream=stream), stream=stream)
    assert (attempt.usage.suspect, attempt.usage.estimated) == ("absurd", True)
    assert 0 < attempt.usage.input_tokens < 10_000
    assert attempt.cost_nano_usd < 10**9, "it would have been a fortune"


async def test_more_input_than_fits_is_charged_as_told_and_marked(gw: Harness) -> None:
    attempt = await used(gw, chat('{"prompt_tokens": 5000, "completion_tokens": 3}', stream=False), context=4096)
    assert (attempt.usage.suspect, attempt.usage.estimated, attempt.usage.input_tokens) == (
        "beyond_context",
        False,
        5000,
    )
    assert attempt.cost_nano_usd == 5000 * 1250 + 3 * 10_000


async def test_not_a_number_is_no_json_and_no_answer(gw: Harness) -> None:
    with pytest.raises(GatewayError, match="JSON"):
        await used(gw, chat('{"prompt_tokens": NaN, "completion_tokens": 3}', stream=False))


@pytest.mark.parametrize("stream", [False, True])
async def test_no_usage_at_all_is_estimated_which_is_no_suspicion(gw: Harness, stream: bool) -> None:
    attempt = await used(gw, chat("null", stream=stream), stream=stream)
    assert (attempt.usage.suspect, attempt.usage.estimated) == ("", True)


async def test_what_is_counted_apart_costs_its_own_rate(gw: Harness) -> None:
    dear = msgspec.structs.replace(PRICE, special=Special(audio_input=40 * 10**9, audio_output=80 * 10**9))
    usage = """{"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"audio_tokens": 60},
        "completion_tokens_details": {"audio_tokens": 15}}"""
    attempt = await used(gw, chat(usage, stream=False), price=dear)
    assert read(attempt.usage).apart == Apart(audio_input_tokens=60, audio_output_tokens=15)
    assert attempt.cost_nano_usd == 40 * 1250 + 60 * 40_000 + 5 * 10_000 + 15 * 80_000


async def test_what_is_cached_for_an_hour_costs_its_own_rate_also_for_a_client_of_another_format(gw: Harness) -> None:
    dear = msgspec.structs.replace(PRICE, special=Special(cache_write_1h=2_500_000_000))
    usage = """{"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}}"""
    attempt = await used(gw, messages(usage), wire_format=WireFormat.ANTHROPIC_MESSAGES, price=dear)
    assert attempt.usage.apart.cache_write_1h_tokens == 20
    assert attempt.cost_nano_usd == 10 * 1250 + 10 * 1250 + 20 * 2500 + 5 * 10_000


HALF = msgspec.structs.replace(PRICE, batch=scaled(PRICE, 500_000))
FLEX = ',"service_tier":"flex"'
RESPONSE = (
    '{"id":"r","object":"response","status":"completed","model":"m","service_tier":"flex","output":[{"type":"message",'
    '"id":"i","role":"assistant","content":[{"type":"output_text","text":"word","annotations":[]}]}],'
    '"usage":{"input_tokens":100,"output_tokens":20}}'
)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("wire_format", "tier"),
    [
        (WireFormat.OPENAI_CHAT, "flex"),
        (WireFormat.OPENAI_RESPONSES, "flex"),
        (WireFormat.ANTHROPIC_MESSAGES, "batch"),
    ],
)
async def test_what_is_answered_as_a_batch_costs_the_rates_of_batches_relayed_or_translated(
    gw: Harness, stream: bool, wire_format: WireFormat, tier: str
) -> None:
    usage = '{"input_tokens": 100, "output_tokens": 20, "service_tier": "batch"}'
    answers = {
        WireFormat.OPENAI_CHAT: chat('{"prompt_tokens": 100, "completion_tokens": 20}', stream=stream, more=FLEX),
        WireFormat.OPENAI_RESPONSES: http(RESPONSE.encode()),
        WireFormat.ANTHROPIC_MESSAGES: messages(usage),
    }
    if stream and wire_format is WireFormat.OPENAI_RESPONSES:
        event = f'data: {{"type":"response.completed","response":{RESPONSE}}}\n\n'
        answers[wire_format] = http(event.encode(), "text/event-stream")
    elif stream and wire_format is WireFormat.ANTHROPIC_MESSAGES:
        answers[wire_format] = http(MESSAGES_STREAM.encode(), "text/event-stream")
    attempt = await used(gw, answers[wire_format], stream=stream, wire_format=wire_format, price=HALF)
    assert (attempt.outcome, attempt.usage.apart.tier) == ("ok", tier)
    assert (attempt.usage.input_tokens, attempt.usage.output_tokens) == (100, 20)
    assert attempt.cost_nano_usd == 100 * 625 + 20 * 5_000


async def test_what_may_be_answered_as_a_batch_is_reserved_at_the_dearer_price(gw: Harness) -> None:
    answer = chat('{"prompt_tokens": 100, "completion_tokens": 20}', stream=False, more=FLEX)
    key = s.KeyPolicy(id="key-all", name="all", budget=s.Budget(nano_usd=10**12))
    async with scripted(answering(answer)) as server:
        models = (s.Model(id="*", price=HALF),)
        gw.configure(provider("acme", server.url, models=models), keys=(key,))
        await gw.ask("acme/m", max_tokens=30, service_tier="flex")
    (attempt,), _ = await gw.events()
    assert attempt.reserved_nano_usd >= 30 * 10_000
    assert attempt.cost_nano_usd == 100 * 625 + 20 * 5_000


# ---- prices by date and by who pays ----


def flat(rate: int) -> Price:
    return Price(input=rate, output=rate, cached_input=rate, cache_write=rate)


async def test_an_attempt_costs_what_is_in_force_when_it_begins_without_a_new_configuration(
    gw: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = Dated(NOW, flat(3 * 10**9))
    model = s.Model(id="*", price=flat(10**9), changes=(later,))
    key = s.KeyPolicy(id="key-all", name="all", budget=s.Budget(nano_usd=10**12))
    gw.configure(provider("acme", f"{gw.simulator.url}/v1", models=(model,)), keys=(key,))
    times = itertools.chain([NOW - 1], itertools.repeat(NOW - 1))
    monkeypatch.setattr(clock, "now_ms", lambda: next(times))
    await gw.ask("acme/sim+input:100+tokens:10")
    monkeypatch.setattr(clock, "now_ms", lambda: NOW)
    await gw.ask("acme/sim+input:100+tokens:10")
    (before, after), _ = await gw.events()
    assert (before.cost_nano_usd, after.cost_nano_usd) == (110_000, 330_000)
    assert (before.price_version, after.price_version) == (version(Dated(0, flat(10**9))), version(later))
    assert after.reserved_nano_usd > 2 * before.reserved_nano_usd, "it is held at the price that it is settled at"
    assert before.charged == after.charged == "key"
    assert await gw.money("key-all") == (440_000, 0)


async def test_an_organisation_and_an_account_have_prices_of_their_own(gw: Harness) -> None:
    terms = (Terms(account="acme/first", price=flat(2 * 10**9)), Terms(organisation="lab", price=flat(5 * 10**9)))
    model = s.Model(id="*", price=flat(10**9), terms=terms)
    for organisation in ("default", "lab"):
        key = s.KeyPolicy(id="key-all", name="all", organisation=organisation)
        gw.configure(provider("acme", f"{gw.simulator.url}/v1", models=(model,)), keys=(key,))
        await gw.ask("acme/sim+input:100+tokens:10")
    (account, lab), _ = await gw.events()
    assert (account.cost_nano_usd, lab.cost_nano_usd) == (220_000, 550_000)
    assert lab.charged == ""


async def test_an_attempt_says_which_budgets_it_was_charged_to(gw: Harness) -> None:
    money = s.Budget(nano_usd=10**12)
    limits = (
        s.Limit(id="l-team", name="m", of="team", owner="core", budget=money),
        s.Limit(id="l-rpm", name="r", requests_per_minute=100),
        s.Limit(id="l-other", name="o", budget=money),
    )
    key = s.KeyPolicy(id="key-all", name="all", budget=money, limits=("l-team", "l-rpm"))
    gw.configure(keys=(key,), limits=limits)
    await gw.ask("acme/sim")
    (attempt,), _ = await gw.events()
    assert attempt.charged == "key l-team"
    assert attempt.price_version == version(Dated(0, PRICE))
    served = s.Budget(nano_usd=10**12, unpriced="serve")
    gw.configure(keys=(s.KeyPolicy(id="key-all", name="all", budget=served),))
    await gw.ask("acme/free")
    _, (unpriced,) = (await gw.events())[0], ((await gw.events())[0][-1],)
    assert (unpriced.price_version, unpriced.charged) == ("", "")
