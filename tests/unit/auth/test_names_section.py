"""Combos in combos, providers' whole lists, aliases and further names in the configuration: what each comes to, and
what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_auth.domain.compilation import compile_snapshot
from omni_auth.domain.configuration import load
from omni_auth.domain.entities import as_tree, typed
from omni_auth.domain.problems import ConfigErrors
from omni_catalogue import snapshot as s
from omni_catalogue.catalogue import Catalogue
from omni_catalogue.snapshot import leaves

BASE = """\
providers:
  - {id: acme, aka: [ac, a2], format: openai.chat, base_url: "https://acme.example/v1", tags: [eu],
     accounts: [{name: a, api_key: {value: k1}}], models: [{id: "*"}, {id: one}, {id: two}, {id: both}]}
  - {id: beta, format: openai.chat, base_url: "https://beta.example/v1", tier: free,
     accounts: [{name: a, api_key: {value: k3}}], models: [{id: x}, {id: y}, {id: both}, {id: vendor/z}]}
  - {id: open, aka: [op], format: openai.chat, base_url: "https://open.example/v1",
     accounts: [{name: a, api_key: {value: k4}}]}
"""


# What nobody configured is for its own tests.
NO_AUTO = {"OMNIROUTE__ROUTING__AUTO": "off"}


def snapshot(text: str, base: str = BASE) -> s.Snapshot:
    return compile_snapshot(load(base + text, "omniroute.yaml", NO_AUTO, lambda path: path), (), b"pepper").content


def combos(text: str, base: str = BASE) -> dict[str, s.Combo]:
    return {combo.name: combo for combo in snapshot(text, base).combos}


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        snapshot(text)
    return [problem.partition(": ")[2] for problem in caught.value.problems]


# ---- combos in combos -----------------------------------------------------------------------------------------------

NESTED = """
combos:
  - {name: outer, strategy: random, targets: [acme/one, {model: middle, weight: 3}, beta/x]}
  - {name: middle, strategy: {name: round-robin, sticky: 2}, targets: [{model: beta/x, weight: 5}, inner]}
  - {name: inner, targets: [acme/two, acme/one]}
aliases: [{name: also, target: outer}]
"""


def test_a_combo_in_a_combo_is_a_tree_and_its_targets_are_still_one_list() -> None:
    found = combos(NESTED)
    assert found["outer"].targets == ("acme/one", "beta/x", "acme/two")
    inner = s.Node(name="inner", nodes=(s.Node(name="acme/two"), s.Node(name="acme/one")))
    middle = s.Node(
        name="middle",
        weight=3,
        strategy="round-robin",
        sticky=2,
        nodes=(s.Node(name="beta/x", weight=5), inner),
    )
    assert found["outer"].nodes == (s.Node(name="acme/one"), middle, s.Node(name="beta/x"))
    assert found["inner"].nodes == (), "one of targets alone is as it ever was"
    assert (found["also"].nodes, found["also"].strategy) == (found["outer"].nodes, "random")


def test_a_router_that_knows_no_trees_uses_the_list() -> None:
    encoded = s.encode(snapshot(NESTED))
    older = s.decode(encoded)
    assert older.combos[0].nodes
    candidates = Catalogue(older).plan("outer").candidates
    assert [f"{each.provider.id}/{each.model.id}" for each in candidates] == ["acme/one", "beta/x", "acme/two"]


def test_a_combo_in_a_combo_that_is_off_or_has_nothing_left_is_left_out() -> None:
    found = combos(NESTED.replace("{name: inner,", "{name: inner, enabled: off,"))
    assert (found["outer"].targets, "inner" in found) == (("acme/one", "beta/x"), False)
    assert leaves(found["outer"].nodes) == found["outer"].targets
    found = combos(NESTED + "routing: {blocked_providers: [acme]}\n")
    assert found["outer"].targets == ("beta/x",)
    (middle, _) = found["outer"].nodes
    assert [node.name for node in middle.nodes] == ["beta/x"]
    off = snapshot(NESTED + "routing: {blocked_providers: [acme, beta]}\n")
    assert (off.combos, set(off.off.idle)) == ((), {"outer", "middle", "inner", "also"})


def test_tags_that_a_combo_asks_for_hold_for_everything_in_it() -> None:
    text = """
combos:
  - {name: outer, require_tags: [eu], targets: [inner, {model: other, tags: [eu]}]}
  - {name: inner, targets: [acme/one, beta/x, {model: beta/y, tags: [eu]}]}
  - {name: other, require_tags: [fast], targets: [{model: beta/both, tags: [fast]}, open/m]}
"""
    found = combos(text)
    assert found["outer"].targets == ("acme/one", "beta/y", "beta/both")
    assert found["inner"].targets == ("acme/one", "beta/x", "beta/y")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[{name: a, targets: [b]}, {name: b, targets: [c, acme/one]}, {name: c, targets: [a]}]",
         ["combos[0].targets[0]: goes round in a circle: a → b → c → a; take one of them out",
          "combos[1].targets[0]: goes round in a circle: b → c → a → b; take one of them out",
          "combos[2].targets[0]: goes round in a circle: c → a → b → c; take one of them out"]),
        ("[{name: a, targets: [a]}, {name: b, targets: [a]}]",
         ["combos[0].targets[0]: goes round in a circle: a → a; take one of them out"]),
        ("[{name: a, targets: [acme/one, b]}, {name: b, targets: [c]}, {name: c, targets: [d]}, {name: d, targets: "
         "[acme/one]}]",
         ["combos[0].targets[1]: puts combos 4 deep: a → b → c → d; at most 3 may be"]),
        ("[{name: a, targets: [b]}, {name: b, targets: [beta/x, acme/one]}, {name: c, free_only: on, targets: [a]}]",
         ["combos[2].targets[0]: in 'a': 'acme/one' costs: the tier of 'acme' is api_key, and this combo is free_only; "
          "take it out, or say tier: free there"]),
        ("[{name: a, targets: [beta/x]}, {name: c, require_tags: [eu], targets: [a]}]",
         ["combos[1].require_tags[0]: no target of this combo has the tag 'eu'; tags are those of the target and of "
          "its provider"]),
        ("[{name: a, require_tags: [eu], targets: [beta/x, acme/one]}, {name: c, targets: [{model: a, tags: [us]}], "
         "require_tags: [us, eu, asia]}]",
         ["combos[1].require_tags[2]: no target of this combo has the tag 'asia'; tags are those of the target and of "
          "its provider"]),
        ("[{name: a, targets: [beta/x]}, {name: c, targets: [a, a]}]",
         ["combos[1].targets[1]: is in this combo already"]),
        ("[{name: always, targets: [beta/x]}, {name: c, targets: [alwys]}]",
         ["combos[1].targets[0]: must be provider/model, provider/* or the name of a combo; did you mean 'always'?"]),
        ("[{name: c, targets: [fast]}]\naliases: [{name: fast, target: beta/x}]",
         ["combos[0].targets[0]: is an alias; name what it stands for"]),
        ("[{name: c, targets: [open/*]}]",
         ["combos[0].targets[0]: provider 'open' lists no model that '*' could stand for; list some there, or name one "
          "here"]),
        ("[{name: c, targets: [acme/o*]}]", ["combos[0].targets[0]: must name one model, without '*'"]),
        ("[{name: c, targets: [nobody/*]}]", ["combos[0].targets[0]: there is no provider 'nobody'"]),
        ("[{name: c, free_only: on, targets: [beta/*, acme/*]}]",
         [f"combos[0].targets[1]: '{model}' costs: the tier of 'acme' is api_key, and this combo is free_only; take it "
          "out, or say tier: free there" for model in ("acme/one", "acme/two", "acme/both")]),
    ],
)  # fmt: skip
def test_what_makes_no_sense_in_a_combo_is_refused_by_its_place(text: str, told: list[str]) -> None:
    assert problems(f"combos: {text}\n") == told


def test_three_combos_deep_is_taken() -> None:
    text = "combos: [{name: a, targets: [b]}, {name: b, targets: [c]}, {name: c, targets: [acme/one]}]\n"
    assert combos(text)["a"].targets == ("acme/one",)


def test_combos_that_come_to_more_targets_than_anybody_tries_are_refused() -> None:
    inner = ", ".join(f"{{name: i{n}, targets: [{', '.join(f'acme/{n}-{m}' for m in range(101))}]}}" for n in range(10))
    outer = f"{{name: o, targets: [{', '.join(f'i{n}' for n in range(10))}]}}"
    assert problems(f"combos: [{inner}, {outer}, {{name: oo, targets: [o]}}]\n") == [
        "combos[11].targets[0]: comes to 1010 targets with those of the combos in it; at most 1000 may be"
    ]


def test_a_long_chain_of_combos_is_refused_and_not_gone_down() -> None:
    chain = ", ".join(f"{{name: c{n}, targets: [c{n + 1}]}}" for n in range(3000))
    told = problems(f"combos: [{chain}, {{name: c3000, targets: [beta/x]}}]\n")
    assert told[0] == "combos[0].targets[0]: puts combos 3001 deep: c0 → c1 → c2 → c3; at most 3 may be"
    assert len(told) == 2998


def test_a_long_circle_is_told_in_short() -> None:
    circle = ", ".join(f"{{name: c{n}, targets: [c{(n + 1) % 300}]}}" for n in range(300))
    told = problems(f"combos: [{circle}]\n")
    assert (
        told[1]
        == "combos[1].targets[0]: goes round in a circle: c1 → c2 → c3 → … → c299 → c0 → c1; take one of them out"
    )
    assert len(told) == 300


NAMES = st.sampled_from("abcde")


@given(
    st.dictionaries(
        NAMES, st.lists(st.one_of(NAMES, st.sampled_from(["beta/x", "acme/one"])), min_size=1, max_size=4, unique=True)
    )
)
def test_any_combos_in_combos_are_refused_or_come_to_an_end(nested: dict[str, list[str]]) -> None:
    text = ", ".join(f"{{name: {name}, targets: [{', '.join(targets)}]}}" for name, targets in nested.items())
    try:
        found = combos(f"combos: [{text}]\n")
    except ConfigErrors:
        return

    def deep(name: str) -> int:
        return 1 + max((deep(target) for target in nested[name] if target in nested), default=0)

    for name, combo in found.items():
        assert deep(name) <= 3
        assert combo.targets == (leaves(combo.nodes) or tuple(nested[name]))
        assert set(combo.targets) <= {"beta/x", "acme/one"}


# ---- all that a provider lists --------------------------------------------------------------------------------------


def test_a_star_in_a_combo_is_what_the_provider_lists_in_that_order_each_once() -> None:
    text = """
prices: [{provider: acme, model: priced, input: 1, output: 1}]
combos: [{name: c, targets: [acme/two, {model: ac/*, weight: 2}, beta/*]}]
"""
    found = combos(text)["c"]
    assert found.targets == (
        "acme/two", "acme/one", "acme/both", "acme/priced", "beta/x", "beta/y", "beta/both", "beta/vendor/z",
    )  # fmt: skip
    assert found.weights == {"acme/one": 2, "acme/both": 2, "acme/priced": 2}


# ---- aliases and further names of providers -------------------------------------------------------------------------


def test_an_alias_stands_for_a_combo_a_model_or_an_id_that_one_provider_lists() -> None:
    text = """
combos: [{name: c, targets: [acme/one, beta/x]}]
aliases:
  - {name: combo, target: c}
  - {name: model, target: ac/anything}
  - {name: bare, target: y}
  - {name: slashed, target: vendor/z}
  - {name: claude-*, target: c}
  - {name: "old/*", target: "acme/*"}
  - {name: "gpt-?", target: y}
"""
    found = snapshot(text)
    targets = {combo.name: combo.targets for combo in found.combos}
    assert targets["combo"] == ("acme/one", "beta/x")
    assert (targets["model"], targets["bare"]) == (("acme/anything",), ("beta/y",))
    assert targets["slashed"] == ("beta/vendor/z",)
    assert [(each.name, each.target) for each in found.wildcards] == [
        ("claude-*", "c"), ("old/*", "acme/*"), ("gpt-?", "y"),
    ]  # fmt: skip
    catalogue = Catalogue(found)
    assert catalogue.plan("claude-x").combo == "c"
    assert catalogue.plan("old/thing").candidates[0].model.id == "thing"


@pytest.mark.parametrize(
    ("alias", "told"),
    [
        ("{name: f, target: both}", "target: is listed by several providers: name one of acme/both, beta/both"),
        ("{name: f, target: nothing}", "target: must be provider/model; an alias stands for a combo"),
        ("{name: f, target: other}", "target: is an alias; name what it stands for"),
        ("{name: other-*, target: other}", "target: is an alias; name what it stands for"),
        ("{name: f, target: beta/q}", "target: provider 'beta' has no model 'q'"),
        ("{name: f, target: 'acme/*'}", "target: must name one model, without '*'"),
        ("{name: 'f-*', target: nobody/x}", "target: there is no provider 'nobody'"),
        ("{name: 'f-*', target: 'beta/q*'}", "target: there is nothing here that it could come to"),
        ("{name: 'f-*', target: 'nobody/*'}", "target: there is nothing here that it could come to"),
        ("{name: 'f-?', target: 'acme/*'}", "target: must not have '*', as 'f-?' has none whose characters it could"),
        ("{name: 'f *', target: acme/x}", "name: must be a model's id without spaces"),
        ("{name: c, target: acme/x}", "name: a combo is called 'c' already"),
    ],
)
def test_an_alias_of_what_cannot_be_is_refused(alias: str, told: str) -> None:
    text = f"combos: [{{name: c, targets: [beta/x]}}]\naliases: [{{name: other, target: c}}, {alias}]\n"
    (found,) = problems(text)
    assert found.startswith(f"aliases[1].{told}")


@pytest.mark.parametrize("target", ["'beta/*'", "'*'", "'be*'", "'op/*'", "'*/x'", "'vendor/*'"])
def test_an_alias_whose_target_can_come_to_something_is_taken(target: str) -> None:
    text = f"combos: [{{name: best, targets: [beta/x]}}]\naliases: [{{name: 'f-*', target: {target}}}]\n"
    assert len(snapshot(text).wildcards) == 1


@pytest.mark.parametrize(
    ("aka", "told"),
    [
        ("[acme]", "aka[0]: is the id of a provider"),
        ("[n, ac]", "aka[1]: the provider 'acme' goes by it already"),
        ("[n, n]", "aka[1]: the provider 'new' goes by it already"),
        ("[c]", "aka[0]: a combo has this name already"),
        ("[f]", "aka[0]: an alias has this name already"),
        ("['a/b']", "aka[0]: must be a name of letters"),
        ("n", "aka: must be a list"),
    ],
)
def test_a_further_name_that_is_somebody_elses_is_refused(aka: str, told: str) -> None:
    text = (
        f"  - {{id: new, aka: {aka}, format: openai.chat, base_url: 'https://n.example/v1', "
        "accounts: [{name: a, api_key: {value: k}}]}\n"
        "combos: [{name: c, targets: [beta/x]}]\naliases: [{name: f, target: c}]\n"
    )
    assert any(problem.startswith(f"providers[3].{told}") for problem in problems(text))


def test_a_provider_is_asked_for_by_its_further_names_and_listed_by_its_id() -> None:
    found = Catalogue(snapshot("combos: [{name: c, targets: [a2/one]}]\n"))
    policy = s.KeyPolicy(id="k", name="k")
    for name in ("acme/one", "ac/one", "a2/one", "c"):
        (candidate,) = found.plan_for(policy, name).candidates
        assert (candidate.provider.id, candidate.model.id) == ("acme", "one")
    assert not [entry.id for entry in found.listed(policy) if entry.id.startswith(("ac/", "a2/"))]


def test_a_provider_that_is_off_is_off_by_its_further_names_too() -> None:
    found = Catalogue(snapshot("routing: {blocked_providers: [acme]}\n"))
    with pytest.raises(Exception, match="the provider 'acme' is switched off"):
        found.plan("ac/one")


def test_an_api_shows_names_as_they_were_written() -> None:
    documents: dict[str, dict[str, Any]] = {
        "combos": {"name": "c", "targets": ["inner", "acme/*", {"model": "other", "weight": 2}]},
        "aliases": {"name": "claude-*", "target": "acme/*"},
        "providers": {"id": "acme", "aka": ["ac", "on"], "format": "openai.chat", "base_url": "https://a.example/v1"},
    }
    for kind, document in documents.items():
        assert typed(kind, as_tree(document)) == document  # type: ignore[arg-type]
