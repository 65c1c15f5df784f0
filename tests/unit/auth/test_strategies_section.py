"""Strategies, weights, tags and free-only combos in the configuration: what is said where, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from omni_auth.domain.compilation import compile_snapshot
from omni_auth.domain.configuration import load
from omni_auth.domain.entities import as_tree, typed
from omni_auth.domain.problems import ConfigErrors
from omni_catalogue import snapshot as s
from omni_catalogue.catalogue import Catalogue

BASE = """\
providers:
  - {id: acme, format: openai.chat, base_url: "https://acme.example/v1", tags: [eu],
     accounts: [{name: a, api_key: {value: k1}}, {name: b, api_key: {value: k2}, weight: 3}],
     models: [{id: "*", price: {input: 1, output: 2}}, {id: gift, price: {input: 0, output: 0}}]}
  - {id: beta, format: openai.chat, base_url: "https://beta.example/v1", tier: free,
     accounts: [{name: a, api_key: {value: k3}}],
     models: [{id: free}, {id: zero, price: {input: 0, output: 0.0}}, {id: sold, price: {input: 0, output: 0.5}}]}
"""


# What nobody configured is for its own tests.
NO_AUTO = {"OMNIROUTE__ROUTING__AUTO": "off"}


def snapshot(text: str) -> s.Snapshot:
    return compile_snapshot(load(BASE + text, "omniroute.yaml", NO_AUTO, lambda path: path), (), b"pepper").content


def combo(text: str) -> s.Combo:
    (found,) = snapshot(f"combos:\n  - {text}\n").combos
    return found


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        snapshot(text)
    return [problem.partition(": ")[2] for problem in caught.value.problems]


@pytest.mark.parametrize("word", ["priority", *s.STRATEGIES])
def test_both_vocabularies_are_taken_at_both_levels_and_for_all(word: str) -> None:
    meant = "fill-first" if word == "priority" else word
    assert combo(f"{{name: c, strategy: {word}, targets: [acme/x]}}").strategy == meant
    assert combo(f"{{name: c, strategy: {{name: {word}}}, targets: [acme/x]}}").strategy == meant
    found = snapshot(f"routing: {{strategy: {word}}}\n")
    assert [provider.strategy for provider in found.providers] == [meant, meant]
    own = BASE.replace("tags: [eu],", f"strategy: {word},")
    compiled = compile_snapshot(load(own, "omniroute.yaml", {}, lambda path: path), (), b"pepper").content
    assert [provider.strategy for provider in compiled.providers] == [meant, "fill-first"]


def test_without_a_word_everything_is_tried_as_listed() -> None:
    found = snapshot("combos: [{name: c, targets: [acme/x]}]\n")
    assert (found.combos[0].strategy, found.combos[0].sticky, found.combos[0].weights) == ("fill-first", 1, {})
    assert {(provider.strategy, provider.sticky) for provider in found.providers} == {("fill-first", 1)}


def test_the_word_for_all_holds_where_a_narrower_place_has_none() -> None:
    found = snapshot(
        "routing: {strategy: {name: round-robin, sticky: 4}}\n"
        "combos: [{name: c, strategy: random, targets: [acme/x]}, {name: d, targets: [acme/x]}]\n"
    )
    assert [(each.strategy, each.sticky) for each in found.combos] == [("random", 1), ("round-robin", 4)]
    assert [(each.strategy, each.sticky) for each in found.providers] == [("round-robin", 4)] * 2


def test_a_variable_sets_the_word_for_all() -> None:
    loaded = load(BASE, "omniroute.yaml", {"OMNIROUTE__ROUTING__STRATEGY": "p2c"}, lambda path: path)
    assert compile_snapshot(loaded, (), b"pepper").content.providers[0].strategy == "p2c"


def test_targets_are_plain_or_have_a_weight_and_tags_of_their_own() -> None:
    found = combo("{name: c, strategy: weighted, targets: [acme/x, {model: beta/free, weight: 3, tags: [fast]}]}")
    assert (found.targets, found.weights) == (("acme/x", "beta/free"), {"beta/free": 3})
    assert [account.weight for account in snapshot("").providers[0].accounts] == [1, 3]


def test_an_alias_has_the_strategy_of_its_combo() -> None:
    found = snapshot(
        "combos: [{name: c, strategy: {name: round-robin, sticky: 2}, targets: [{model: acme/x, weight: 5}]}]\n"
        "aliases: [{name: d, target: c}]\n"
    ).combos[1]
    assert (found.name, found.strategy, found.sticky, found.weights) == ("d", "round-robin", 2, {"acme/x": 5})


def test_only_targets_with_all_required_tags_are_used() -> None:
    targets = "targets: [{model: acme/x, tags: [fast]}, acme/y, {model: beta/free, tags: [fast]}]"
    assert combo(f"{{name: c, require_tags: [eu], {targets}}}").targets == ("acme/x", "acme/y")
    assert combo(f"{{name: c, require_tags: [fast], {targets}}}").targets == ("acme/x", "beta/free")
    assert combo(f"{{name: c, require_tags: [eu, fast], {targets}}}").targets == ("acme/x",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{name: c, require_tags: [eur], targets: [acme/x]}",
         "combos[0].require_tags[0]: no target of this combo has the tag 'eur'; did you mean 'eu'?; tags are those of "
         "the target and of its provider"),
        ("{name: c, require_tags: [eu, fast], targets: [acme/x, {model: beta/free, tags: [fast]}]}",
         "combos[0].require_tags: no target of this combo has all of these tags"),
        ("{name: c, targets: [{model: acme/x, wieght: 3}]}",
         "combos[0].targets[0].wieght: unknown key; did you mean 'weight'? (known: model, weight, tags)"),
        ("{name: c, targets: [{weight: 3}]}", "combos[0].targets[0].model: is required"),
        ("{name: c, targets: [{model: acme/x, weight: -1}]}",
         "combos[0].targets[0].weight: must be from 0 to 10000"),
        ("{name: c, targets: [acme/x, {model: acme/x}]}", "combos[0].targets[1]: is in this combo already"),
        ("{name: c, targets: [{model: gamma/x}]}", "combos[0].targets[0]: there is no provider 'gamma'"),
        ("{name: c, strategy: {name: random, sticky: 3}, targets: [acme/x]}",
         "combos[0].strategy: takes sticky only where its name is round-robin, and this is random"),
        ("{name: c, strategy: {nmae: random}, targets: [acme/x]}",
         "combos[0].strategy.nmae: unknown key; did you mean 'name'? (known: name, sticky)"),
        ("{name: c, strategy: {name: rnadom}, targets: [acme/x]}", "combos[0].strategy.name: must be one of"),
        ("{name: c, strategy: [random], targets: [acme/x]}", "combos[0].strategy: must be one of"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_its_place(text: str, told: str) -> None:
    assert any(problem.startswith(told) for problem in problems(f"combos:\n  - {text}\n"))


def test_a_weight_that_nothing_goes_by_is_told_and_taken() -> None:
    def warnings(text: str, base: str = BASE) -> list[str]:
        found = load(base + text, "omniroute.yaml", {}, lambda path: path).warnings
        return [warning.partition(": ")[2] for warning in found if "weight" in warning]

    combos = "combos: [{name: c, strategy: %s, targets: [acme/x, {model: beta/free, weight: 3}]}]\n"
    account = "providers[0].accounts[1].weight: warning: has no effect, as the strategy is fill-first and not weighted"
    assert warnings(combos % "weighted") == [account]
    assert warnings(combos % "p2c") == [
        account, "combos[0].targets[1].weight: warning: has no effect, as the strategy is p2c and not weighted",
    ]  # fmt: skip
    assert warnings("routing: {strategy: weighted}\ncombos: [{name: c, targets: [{model: acme/x, weight: 3}]}]\n") == []


# ---- free-only combos -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["beta/free", "beta/zero", "{model: beta/free}"])
def test_a_free_only_combo_takes_what_costs_nothing(target: str) -> None:
    assert len(combo(f"{{name: c, free_only: on, targets: [{target}]}}").targets) == 1


@pytest.mark.parametrize("target", ["acme/x", "acme/gift", "{model: acme/gift}", "beta/sold"])
def test_a_free_only_combo_refuses_what_costs_anything_and_names_it(target: str) -> None:
    why = (
        "it has a price, and this combo is free_only; take it out, or make the price 0"
        if target == "beta/sold"
        else "the tier of 'acme' is api_key, and this combo is free_only; take it out, or say tier: free there"
    )
    told = problems(f"combos:\n  - {{name: c, free_only: on, targets: [beta/free, {target}]}}\n")
    assert told == [f"combos[0].targets[1]: costs: {why}"]


@pytest.mark.parametrize(
    ("prices", "model", "costs"),
    [
        ("[{model: free, input: 1, output: 1}]", "free", True),
        ("[{provider: beta, model: free, input: 0, output: 0, cached_input: 0, cache_write: 1}]", "free", True),
        ("[{provider: acme, model: free, input: 1, output: 1}]", "free", False),
        ("[{provider: beta, model: sold, input: 0, output: 0}]", "sold", False),
        ("[{model: sold, input: 5, output: 5}, {provider: beta, model: sold, input: 0, output: 0}]", "sold", False),
        ("[{model: zero, input: 0.000000001, output: 0}]", "zero", True),
    ],
)
def test_the_price_that_counts_is_the_one_that_would_be_charged(prices: str, model: str, costs: bool) -> None:
    text = f"prices: {prices}\ncombos:\n  - {{name: c, free_only: on, targets: [beta/{model}]}}\n"
    if costs:
        assert "it has a price" in problems(text)[0]
    else:
        assert snapshot(text).combos[0].targets == (f"beta/{model}",)


def test_what_any_model_of_a_free_provider_costs_is_looked_at_too() -> None:
    wild = BASE.replace("{id: free}", '{id: "*", price: {input: 1, output: 1}}')
    text = wild + "combos:\n  - {name: c, free_only: on, targets: [beta/anything]}\n"
    with pytest.raises(ConfigErrors, match="it has a price"):
        load(text, "omniroute.yaml", {}, lambda path: path)


# ---- the management API's view --------------------------------------------------------------------------------------


def test_an_api_shows_what_was_written_with_numbers_as_numbers() -> None:
    document: dict[str, Any] = {
        "name": "c",
        "strategy": {"name": "round-robin", "sticky": 3},
        "free_only": False,
        "require_tags": ["eu"],
        "targets": ["acme/x", {"model": "beta/y", "weight": 2, "tags": ["fast"]}],
    }
    assert typed("combos", as_tree(document)) == document  # type: ignore[arg-type]
    plain = {"name": "c", "strategy": "priority", "targets": ["acme/x"]}
    assert typed("combos", as_tree(plain)) == plain  # type: ignore[arg-type]
    assert typed("settings", {"routing": {"strategy": "p2c"}}) == {"routing": {"strategy": "p2c"}}


# ---- the documentation ----------------------------------------------------------------------------------------------


def test_what_the_documentation_shows_is_a_configuration() -> None:
    text = (Path(__file__).parents[3] / "docs" / "routing.md").read_text()
    blocks = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
    merged: dict[str, Any] = {"providers": [], "combos": [], "routing": {}}
    for block in blocks:
        for key, value in yaml.safe_load(block).items():
            merged[key] = (
                [*merged[key], *value]
                if key in ("providers", "combos")
                else {**merged[key], **value}
                if (key == "routing")
                else value
            )
    account = [{"name": "a", "api_key": {"value": "k"}}]
    merged["providers"].append(
        {"id": "acme", "format": "openai.chat", "base_url": "https://x.example/v1", "accounts": account}
    )
    env = {"KEY_ONE": "1", "KEY_TWO": "2", "ANTHROPIC_API_KEY": "3"}
    loaded = load(yaml.safe_dump(merged), "omniroute.yaml", env, lambda path: path)
    found = {each.name: each for each in compile_snapshot(loaded, (), b"pepper").content.combos}
    assert (found["best"].strategy, found["best"].sticky) == ("round-robin", 3)
    assert found["in-europe"].targets == ("many/gpt-x", "acme/gpt-x-eu")
    assert found["everyday"].targets == (
        "many/gpt-x", "claude/claude-sonnet-4-5", "claude/claude-opus-4-6", "acme/gpt-x",
    )  # fmt: skip
    assert found["fast"].strategy == "round-robin"


@pytest.mark.parametrize("word", s.STRATEGIES)
def test_the_documentation_has_a_row_and_an_example_for_each_strategy(word: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / "routing.md").read_text()
    assert f"\n| `{word}` |" in text
    assert f"**{word}**" in text.partition("## One example each")[2].partition("\n## ")[0]


# ---- readers of other versions --------------------------------------------------------------------------------------


def test_a_snapshot_without_strategies_of_accounts_is_read_as_it_was_meant() -> None:
    older = s.encode(snapshot("combos: [{name: c, targets: [acme/x]}]\n"))
    for field in (b',"strategy":"fill-first","sticky":1', b',"sticky":1,"weights":{}', b',"weight":1', b',"weight":3'):
        assert field in older
        older = older.replace(field, b"")
    found = s.decode(older)
    assert (found.providers[0].strategy, found.combos[0].weights, found.combos[0].sticky) == ("fill-first", {}, 1)
    assert [candidate.account.name for candidate in Catalogue(found).plan("c").candidates] == ["a", "b"]


def test_targets_are_still_texts_to_a_reader_that_knows_no_weights() -> None:
    found = combo("{name: c, strategy: weighted, targets: [{model: acme/x, weight: 3, tags: [eu]}]}")
    assert found.targets == ("acme/x",)
