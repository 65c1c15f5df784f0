"""What would become of a request, as people read it."""

from omni_launch.explain_lines import lines, usd

FOUND = {
    "model": "best", "combo": "best", "revision": 12, "router": "router-1", "candidates": 3, "left_out": 1,
    "orders": [
        {"scope": "combo best", "strategy": "round-robin", "turn": 7, "sticky": 2, "options": [{"name": "a/x"}]},
        {"scope": "provider a", "strategy": "cost-optimized", "left_out": 4,
         "options": [{"name": "a/one x", "expected_cost_nano_usd": 1_600_000, "cooling": True}]},
    ],
    "steps": [
        {"account": "a/one", "model": "x", "outcome": "would_be_passed_over", "cause": "rate_limit", "wait": 12.3,
         "told": True},
        {"account": "b/one", "model": "x", "outcome": "would_be_asked", "granted_output_tokens": 4096,
         "reserved_nano_usd": 41_000_000, "expected_cost_nano_usd": 1_600_000, "probe": True,
         "hedge_ms": 800, "price": {"input": 1_250_000_000, "output": 10_000_000_000}},
    ],
}  # fmt: skip


def test_a_way_is_a_table_under_what_decided_it() -> None:
    assert list(lines(FOUND)) == [
        "best through combo best: 3 candidates, revision 12, router-1",
        "combo best: round-robin (turn 7, sticky 2): a/x",
        "provider a: cost-optimized: a/one x (costs 0.0016 USD, cooling), and 4 more",
        "",
        "   ACCOUNT  MODEL               TOKENS  RESERVED  EXPECTED  PRICE IN/OUT",
        "1  a/one    x      passed over                              unknown       "
        "rate_limit for 12.3 s more, the provider said so",
        "2  b/one    x      asked        4096    0.041     0.0016    1.25/10       "
        "probe, the next besides it after 800 ms",
        "and 1 more",
    ]


def test_a_refusal_is_said_as_the_client_gets_it() -> None:
    refused = {"status": 429, "code": "rate_limit_exceeded", "message": "try again in 3 s"}
    *_, last = lines({"model": "best", "revision": 1, "router": "r", "candidates": 0, "refused": refused})
    assert last == "The client would be refused with 429 rate_limit_exceeded: try again in 3 s"


def test_money_is_exact_and_short() -> None:
    assert [usd(nano) for nano in (0, 1, 10_000_000_000, 1_250_000_000)] == ["0", "0.000000001", "10", "1.25"]
