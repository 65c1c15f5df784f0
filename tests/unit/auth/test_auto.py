"""The combos that nobody configured: all providers by tier, and all that list an id."""

import pytest
from omni_auth.domain.compilation import compile_snapshot
from omni_auth.domain.configuration import load
from omni_catalogue import snapshot as s
from omni_catalogue.catalogue import Catalogue
from omni_catalogue.scopes import Scopes
from omni_wire.errors import AmbiguousModel, ModelNotFound, PermissionDenied

ACCOUNT = "accounts: [{name: a, api_key: {value: k}}]"


def provider(name: str, tier: str, *models: str, **fields: str) -> str:
    listed = ", ".join(f"{{id: '{model}'}}" for model in models)
    more = "".join(f", {key}: {value}" for key, value in fields.items())
    base = f"format: openai.chat, base_url: 'https://{name}.example/v1'"
    return f"  - {{id: {name}, tier: {tier}, {base}, {ACCOUNT}, models: [{listed}]{more}}}\n"


BASE = "providers:\n" + "".join(
    (
        provider("gift", "free", "small", "shared", enabled="on"),
        provider("key", "api_key", "*", "large", "shared"),
        provider("plan", "subscription", "*", "pro"),
        provider("bargain", "cheap", "shared", "odd"),
        provider("second", "api_key", "other"),
        provider("anything", "subscription", "*"),
    )
)
KEY = s.KeyPolicy(id="k", name="k")


def snapshot(text: str, base: str) -> s.Snapshot:
    return compile_snapshot(load(base + text, "omniroute.yaml", {}, lambda path: path), (), b"pepper").content


def combos(text: str = "", base: str = BASE) -> dict[str, tuple[str, ...]]:
    return {combo.name: combo.targets for combo in snapshot(text, base).combos}


def served(requested: str, text: str = "", base: str = BASE, key: s.KeyPolicy = KEY) -> list[str]:
    found = Catalogue(snapshot(text, base)).plan_for(key, requested).candidates
    return [f"{each.provider.id}/{each.model.id}" for each in found]


def test_auto_is_the_first_model_of_each_provider_by_tier_and_then_as_listed() -> None:
    assert combos()["auto"] == ("plan/pro", "key/large", "second/other", "bargain/shared", "gift/small")
    assert served("auto") == list(combos()["auto"])


def test_auto_of_an_id_is_all_that_list_it_by_tier_and_the_way_out_of_an_ambiguous_one() -> None:
    assert served("auto/shared") == ["key/shared", "bargain/shared", "gift/shared"]
    told = r"ask for one of gift/shared, key/shared, bargain/shared; or for auto/shared, which is all of them"
    with pytest.raises(AmbiguousModel, match=told) as caught:
        served("shared")
    assert caught.value.status == 400


def test_auto_of_an_id_that_one_lists_is_its_and_of_no_id_is_nothing() -> None:
    assert served("auto/odd") == ["bargain/odd"]
    assert "auto/odd" not in combos()
    for name in ("auto/none", "auto/key/large", "auto/", "auto/auto", "auto/*"):
        with pytest.raises(ModelNotFound):
            served(name)


def test_auto_is_listed_behind_what_is_configured() -> None:
    found = snapshot("combos: [{name: mine, targets: [key/large]}]\n", BASE)
    assert [entry.id for entry in Catalogue(found).listed(KEY)][:3] == ["mine", "auto", "auto/shared"]


def test_within_a_tier_the_strategy_for_all_decides_and_the_tiers_stay_in_order() -> None:
    (auto, shared) = snapshot("routing: {strategy: {name: round-robin, sticky: 3}}\n", BASE).combos
    assert (auto.strategy, auto.targets) == ("fill-first", combos()["auto"])
    assert [(node.strategy, node.sticky, [each.name for each in node.nodes]) for node in auto.nodes] == [
        ("round-robin", 3, ["plan/pro"]), ("round-robin", 3, ["key/large", "second/other"]),
        ("round-robin", 3, ["bargain/shared"]), ("round-robin", 3, ["gift/small"]),
    ]  # fmt: skip
    assert shared.targets == ("key/shared", "bargain/shared", "gift/shared")
    assert snapshot("", BASE).combos[0].nodes == ()


def test_providers_that_are_off_are_left_out_of_auto() -> None:
    blocked = "routing: {blocked_providers: [plan, key, bargain]}\n"
    assert served("auto", blocked) == ["second/other", "gift/small"]
    assert served("auto/shared", blocked) == served("shared", blocked) == ["gift/shared"]
    for name in ("auto/shared", "auto", "auto/odd"):
        with pytest.raises(ModelNotFound, match="switched off or blocked"):
            served(name, "routing: {blocked_providers: [plan, key, bargain, gift, second]}\n")


def test_off_is_off() -> None:
    assert combos("routing: {auto: off}\n") == {}
    for name in ("auto", "auto/shared", "auto/odd"):
        with pytest.raises(ModelNotFound):
            served(name, "routing: {auto: off}\n")
    with pytest.raises(AmbiguousModel) as caught:
        served("shared", "routing: {auto: off}\n")
    assert "auto" not in caught.value.message


def test_where_no_provider_lists_anything_there_is_no_auto() -> None:
    assert combos("", "providers:\n" + provider("anything", "free", "*")) == {}


def test_nothing_that_is_configured_is_hidden_by_auto() -> None:
    assert served("auto", "combos: [{name: auto, targets: [second/other]}]\n") == ["second/other"]
    assert served("auto/shared", "aliases: [{name: auto/shared, target: second/other}]\n") == ["second/other"]
    wild = "aliases: [{name: 'auto*', target: second/other}]\n"
    assert [served(name, wild) for name in ("auto", "auto/shared", "auto/odd")] == [["second/other"]] * 3
    own = BASE + provider("auto", "free", "shared", "x")
    assert served("auto/shared", "", own) == ["auto/shared"]
    assert "auto" not in combos("", own)
    assert served("auto/x", "", BASE + provider("new", "free", "x", aka="[auto]")) == ["new/x"]
    assert served("auto", "", BASE + provider("new", "free", "auto")) == ["new/auto"]


def test_a_key_gets_of_auto_what_it_may_use() -> None:
    def key(*models: str, providers: tuple[str, ...] = ()) -> s.KeyPolicy:
        return s.KeyPolicy(
            id=f"{models} of {providers}", name="few", models=models or ("*",), scopes=Scopes(providers=providers)
        )

    catalogue = Catalogue(snapshot("", BASE))
    assert served("auto", key=key(providers=("gift", "key"))) == ["key/large", "gift/small"]
    assert served("auto/shared", key=key(providers=("gift",))) == ["gift/shared"]
    with pytest.raises(PermissionDenied):
        served("auto/odd", key=key(providers=("gift",)))
    assert not catalogue.may_ask(key("key/*"), "auto")
    assert catalogue.may_ask(key("auto/*"), "auto/odd")
    assert not catalogue.may_ask(key("key/*"), "auto/odd")
