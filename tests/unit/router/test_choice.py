"""What there is to choose among, and what a request would cost where."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue import snapshot as s
from omni_catalogue.catalogue import Catalogue
from omni_router.domain.choice import Choice, Warm, expected_cost
from omni_router.domain.conversation import Size, expected
from omni_router.domain.offers import offers_for
from omni_router.domain.pricing import expected_cost as cost_at
from omni_router.domain.strategies import STRATEGIES
from omni_wire.formats import WireFormat

PRICE = s.Price(input=1_000_000_000, output=4_000_000_000, cached_input=100_000_000, cache_write=1_250_000_000)
KEY = s.KeyPolicy(id="k", name="k")


def provider(
    name: str, accounts: int = 1, wire_format: WireFormat = WireFormat.OPENAI_CHAT, **fields: Any
) -> s.Provider:
    return s.Provider(
        id=name,
        format=wire_format,
        base_url="https://x.example/v1",
        accounts=tuple(
            s.Account(id=f"{name}/{n}", name=f"{n}", secret_version="1", weight=n + 1) for n in range(accounts)
        ),
        models=(s.Model(id="*", price=PRICE),),
        **fields,
    )


def choice(model: str, *providers: s.Provider, combos: tuple[s.Combo, ...] = ()) -> Choice | None:
    snapshot = s.Snapshot(
        revision=1, created=0, server=s.Server(), providers=providers, combos=combos, keys=(KEY,), routing=s.Routing()
    )
    catalogue = Catalogue(snapshot)
    return offers_for(catalogue, catalogue.plan_for(KEY, model), KEY, "r").choice


def test_where_all_is_fill_first_or_there_is_only_one_there_is_no_choice() -> None:
    one = s.Combo(name="one", strategy="random", targets=("a/x",))
    plain = s.Combo(name="plain", strategy="fill-first", targets=("a/x", "b/x"))
    found = (provider("a", strategy="random"), provider("b", accounts=2))
    for model in ("one", "plain", "a/x", "b/x"):
        assert choice(model, *found, combos=(one, plain)) is None, model


def test_targets_and_accounts_are_two_levels_with_a_strategy_and_weights_each() -> None:
    both = s.Combo(name="c", strategy="weighted", targets=("a/x", "b/y", "a/z"), weights={"b/y": 7})
    found = choice("c", provider("a", accounts=2, strategy="round-robin", sticky=3), provider("b"), combos=(both,))
    assert found is not None
    assert (found.targets.scope, found.targets.strategy) == ("combo c", STRATEGIES["weighted"])
    assert [(each.name, each.weight, len(each.offers)) for each in found.targets.options] == [
        ("a/x", 1, 2), ("b/y", 7, 1), ("a/z", 1, 2),
    ]  # fmt: skip
    accounts = found.accounts["a/x"]
    assert (accounts.scope, accounts.strategy, accounts.sticky) == ("provider a", STRATEGIES["round-robin"], 3)
    assert [(each.name, each.member, each.weight) for each in accounts.options] == [
        ("a/0 x", "a/0", 1), ("a/1 x", "a/1", 2),
    ]  # fmt: skip
    assert found.accounts["b/y"].strategy is STRATEGIES["fill-first"]


def node(name: str, *nodes: s.Node, **fields: Any) -> s.Node:
    return s.Node(name=name, nodes=nodes, **fields)


def nested(*nodes: s.Node, strategy: str = "fill-first") -> s.Combo:
    return s.Combo(name="c", strategy=strategy, targets=s.leaves(nodes), nodes=nodes)


def test_a_combo_in_a_combo_is_one_option_with_a_level_of_its_own() -> None:
    inner = node("inner", node("b/y", weight=7), node("a/x"), strategy="round-robin", sticky=2, weight=3)
    found = choice("c", provider("a", 2), provider("b"), combos=(nested(node("a/x"), inner, strategy="weighted"),))
    assert found is not None
    outer, (target, combo) = found.targets, found.targets.options
    assert (outer.scope, outer.strategy, target.inside) == ("combo c", STRATEGIES["weighted"], None)
    assert (combo.name, combo.member, combo.weight, len(combo.offers)) == ("inner", "inner", 3, 3)
    assert combo.inside is not None
    assert (combo.inside.scope, combo.inside.strategy, combo.inside.sticky) == (
        "combo inner", STRATEGIES["round-robin"], 2,
    )  # fmt: skip
    assert [(each.name, each.weight) for each in combo.inside.options] == [("b/y", 7), ("a/x", 1)]
    assert set(found.accounts) == {"a/x", "b/y"}


def test_combos_in_combos_that_are_tried_as_listed_are_no_choice() -> None:
    flat = nested(node("a/x"), node("inner", node("b/y"), node("a/x")))
    assert choice("c", provider("a", 2), provider("b"), combos=(flat,)) is None
    single = nested(node("a/x"), node("inner", node("b/y"), strategy="random"), strategy="fill-first")
    assert choice("c", provider("a"), provider("b"), combos=(single,)) is None
    deep = nested(node("o", node("i", node("b/y"), node("a/x"), strategy="random")))
    assert choice("c", provider("a"), provider("b"), combos=(deep,)) is not None


def test_a_combo_in_a_combo_costs_what_its_cheapest_target_does() -> None:
    inner = node("inner", node("a/x"), node("free/x"), strategy="random")
    found = choice("c", provider("a"), provider("free", tier="subscription"), combos=(nested(inner),))
    assert found is not None
    assert expected_cost(found.targets.options[0], Size(input=1000, output=100), {}, 0) == 0


def test_accounts_have_a_choice_without_any_combo() -> None:
    found = choice("a/x", provider("a", accounts=2, strategy="least-used"))
    assert found is not None
    assert found.targets.strategy is STRATEGIES["fill-first"]
    assert found.accounts["a/x"].strategy is STRATEGIES["least-used"]


def test_a_target_costs_what_its_warmest_account_would() -> None:
    found = choice("a/x", provider("a", accounts=2, strategy="cost-optimized"))
    assert found is not None
    (target,), size = found.targets.options, Size(input=1000, output=100)
    cold = 1000 * 1000 + 100 * 4000
    assert expected_cost(target, size, {}, 0) == cold
    warm = {"a/1 x": Warm(800, 1.0), "a/0 other": Warm(1000, 1.0)}
    assert expected_cost(target, size, warm, 0) == cold - 800 * 900
    one, other = found.accounts["a/x"].options
    assert (expected_cost(one, size, warm, 0), expected_cost(other, size, warm, 0)) == (cold, cold - 800 * 900)


def test_what_is_paid_for_already_costs_nothing_and_an_unknown_price_is_not_known() -> None:
    size = Size(1_000_000, 1_000_000)

    def costs(tier: str, price: s.Price | None) -> int | None:
        return cost_at(provider("a", tier=tier), price, size)

    assert costs("subscription", PRICE) == 0
    assert costs("subscription", None) == 0
    assert costs("free", None) == 0
    assert costs("free", PRICE) == 5_000_000_000
    assert costs("api_key", None) is None
    assert costs("cheap", PRICE) == 5_000_000_000


def test_where_the_client_marks_what_to_keep_the_rest_is_written_to_the_cache_at_its_price() -> None:
    marked, plain = Size(input=1000, output=10, marked=True), Size(input=1000, output=10)
    assert expected(WireFormat.ANTHROPIC_MESSAGES, marked, 300) == (300, 700)
    assert expected(WireFormat.ANTHROPIC_MESSAGES, plain, 300) == (300, 0)
    assert expected(WireFormat.OPENAI_CHAT, marked, 5000) == (1000, 0)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.booleans())
def test_a_warm_cache_never_costs_more_where_it_has_a_discount(
    input_: int, warm: int, output: int, marked: bool
) -> None:
    for wire_format in (WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES):
        size = Size(input_, output, marked)
        of = provider("a", wire_format=wire_format)
        cold, kept = cost_at(of, PRICE, size), cost_at(of, PRICE, size, warm)
        assert cold is not None
        assert kept is not None
        assert 0 <= kept <= cold
