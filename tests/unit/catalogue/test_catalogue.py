"""Which candidates a requested model id stands for, and who may ask for it."""

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_catalogue.catalogue import Catalogue
from omni_catalogue.scopes import Scopes
from omni_wire.errors import AmbiguousModel, ModelNotFound, PermissionDenied, WireError
from omni_wire.formats import WireFormat

PRICE = s.Price(input=1_000_000_000, output=2_000_000_000, cached_input=100_000_000, cache_write=1_000_000_000)


def provider(name: str, *models: str, accounts: tuple[str, ...] = ("first",)) -> s.Provider:
    return s.Provider(
        id=name,
        format=WireFormat.OPENAI_CHAT,
        base_url="http://127.0.0.1:1/v1",
        accounts=tuple(s.Account(id=f"{name}/{account}", name=account, secret_version="1") for account in accounts),
        models=tuple(s.Model(id=model, price=PRICE) for model in models),
    )


def catalogue() -> Catalogue:
    return Catalogue(
        s.Snapshot(
            revision=1,
            created=0,
            server=s.Server(),
            providers=(
                provider("acme", "*", "gpt-x", "shared", accounts=("first", "second")),
                provider("other", "shared", "only"),
            ),
            combos=(s.Combo(name="always-on", strategy="fill-first", targets=("acme/gpt-x", "other/only")),),
            keys=(
                s.KeyPolicy(id="key-all", name="all"),
                s.KeyPolicy(id="key-acme", name="acme", models=("acme/*", "only")),
            ),
            routing=s.Routing(),
        )
    )


def ids(requested: str) -> list[tuple[str, str]]:
    return [(candidate.account.id, candidate.model.id) for candidate in catalogue().plan(requested).candidates]


def test_a_combo_is_its_targets_in_order_each_with_all_accounts() -> None:
    assert ids("always-on") == [("acme/first", "gpt-x"), ("acme/second", "gpt-x"), ("other/first", "only")]
    assert catalogue().plan("always-on").combo == "always-on"


def test_a_provider_prefix_is_split_at_the_first_slash_only() -> None:
    assert ids("acme/vendor/model") == [("acme/first", "vendor/model"), ("acme/second", "vendor/model")]


def test_an_exact_model_wins_over_the_wildcard() -> None:
    found = catalogue().plan("acme/gpt-x").candidates[0]
    assert found.model.id == "gpt-x"


def test_a_bare_id_goes_to_the_only_provider_that_lists_it() -> None:
    assert ids("only") == [("other/first", "only")]


def test_a_bare_id_of_several_providers_is_refused_with_the_choices() -> None:
    with pytest.raises(AmbiguousModel, match=r"acme/shared, other/shared"):
        catalogue().plan("shared")


@pytest.mark.parametrize("requested", ["nobody/x", "nothing", "other/unlisted", "acme/", "/gpt-x", ""])
def test_an_id_nobody_serves_is_not_found(requested: str) -> None:
    with pytest.raises(ModelNotFound):
        catalogue().plan(requested)


def test_a_key_may_ask_for_what_its_patterns_match() -> None:
    cat = catalogue()
    policy = cat.key("key-acme")
    assert policy is not None
    assert cat.may_ask(policy, "acme/anything")
    assert cat.may_ask(policy, "gpt-x"), "a bare id is allowed as the provider/model it stands for"
    assert cat.may_ask(policy, "only")
    assert not cat.may_ask(policy, "other/only")
    assert not cat.may_ask(policy, "always-on"), "a combo is allowed by its own name only"


def test_the_list_shows_combos_first_and_no_wildcards() -> None:
    cat = catalogue()
    policy = cat.key("key-all")
    assert policy is not None
    listed = [entry.id for entry in cat.listed(policy)]
    assert listed == ["always-on", "acme/gpt-x", "acme/shared", "other/shared", "other/only"]


def test_a_snapshot_survives_its_json_form() -> None:
    snapshot = catalogue().snapshot
    assert s.decode(s.encode(snapshot)) == snapshot


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"revision": "x"}'])
def test_what_is_no_snapshot_is_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        s.decode(data)


def of(*providers: str) -> s.KeyPolicy:
    return s.KeyPolicy(id="key-few", name="few", scopes=Scopes(providers=providers))


def used(policy: s.KeyPolicy, requested: str) -> list[str]:
    return [candidate.account.id for candidate in catalogue().plan_for(policy, requested).candidates]


def test_a_candidate_whose_provider_the_key_may_not_use_is_none() -> None:
    assert used(of("other"), "always-on") == ["other/first"]
    assert used(of("acme", "other"), "always-on") == used(of("*"), "always-on")
    assert used(of("ac*"), "acme/gpt-x") == ["acme/first", "acme/second"]
    assert catalogue().plan_for(of("other"), "always-on").combo == "always-on"


@pytest.mark.parametrize("requested", ["acme/gpt-x", "gpt-x", "acme/anything", "always-on"])
def test_a_key_with_no_provider_left_is_refused_without_naming_those_there_are(requested: str) -> None:
    with pytest.raises(PermissionDenied) as caught:
        catalogue().plan_for(of("nobody"), requested)
    assert (caught.value.param, caught.value.code) == ("model", "provider_not_allowed")
    assert repr(requested) in caught.value.message
    assert "other" not in caught.value.message


def test_a_bare_id_of_several_providers_is_the_only_one_that_the_key_may_use() -> None:
    assert used(of("other"), "shared") == ["other/first"]
    with pytest.raises(AmbiguousModel, match=r"acme/shared, other/shared"):
        used(of("acme", "other"), "shared")
    third = msgspec.structs.replace(catalogue().snapshot, providers=(
        *catalogue().snapshot.providers, provider("third", "shared"),
    ))  # fmt: skip
    with pytest.raises(AmbiguousModel) as caught:
        Catalogue(third).plan_for(of("acme", "other"), "shared")
    assert "third" not in caught.value.message
    with pytest.raises(PermissionDenied):
        used(of("nobody"), "shared")


@pytest.mark.parametrize(("pattern", "told"), [("acme/*", "one of acme/shared$"), ("shared", "for none of them")])
def test_a_key_hears_of_no_choice_that_its_patterns_do_not_allow(pattern: str, told: str) -> None:
    with pytest.raises(AmbiguousModel, match=told) as caught:
        catalogue().plan_for(s.KeyPolicy(id="k", name="k", models=(pattern,)), "shared")
    assert "other" not in caught.value.message


def test_an_id_nobody_serves_is_not_found_by_any_key() -> None:
    with pytest.raises(ModelNotFound):
        used(of("acme"), "nothing")


def test_a_key_sees_only_what_its_providers_serve() -> None:
    shown = [entry.id for entry in catalogue().listed(of("other"))]
    assert shown == ["always-on", "other/shared", "other/only"]
    assert catalogue().listed(of("nobody")) == []


def test_of_two_things_by_one_name_the_list_has_the_one_that_answers() -> None:
    alias = s.Combo(name="acme/m", strategy="fill-first", targets=("other/only",))
    snapshot = s.Snapshot(
        revision=1, created=0, server=s.Server(), providers=(provider("acme", "m"), provider("other", "only")),
        combos=(alias,), keys=(), routing=s.Routing(),
    )  # fmt: skip
    cat = Catalogue(snapshot)
    assert [(entry.id, entry.owned_by) for entry in cat.listed(s.KeyPolicy(id="k", name="k"))] == [
        ("acme/m", "combo"), ("other/only", "other"),
    ]  # fmt: skip
    assert cat.listed(of("acme")) == [], "the alias leads to a provider that this key may not use"


def test_what_nobody_has_an_account_for_is_neither_listed_nor_found() -> None:
    combo = s.Combo(name="best", strategy="fill-first", targets=("acme/m",))
    snapshot = s.Snapshot(
        revision=1, created=0, server=s.Server(), providers=(provider("acme", "m", accounts=()),), combos=(combo,),
        keys=(), routing=s.Routing(),
    )  # fmt: skip
    cat = Catalogue(snapshot)
    assert cat.listed(s.KeyPolicy(id="k", name="k")) == []
    for name in ("best", "acme/m", "m"):
        with pytest.raises(ModelNotFound):
            cat.plan(name)


def partly_off() -> Catalogue:
    """As published where ``acme`` is off with all its models, and so are two combos, one by its targets."""
    off = s.Off(models=("acme/*", "acme/gpt-x", "acme/shared"), combos=("only",), idle=("tired",))
    snapshot = msgspec.structs.replace(
        catalogue().snapshot,
        providers=(provider("other", "shared", "only", "acme/gpt-x", "acme/vendor/model"),),
        combos=(s.Combo(name="always-on", strategy="fill-first", targets=("other/only",)),),
        off=off,
    )
    return Catalogue(snapshot)


def test_a_bare_id_is_the_provider_s_that_is_on_where_another_is_off() -> None:
    assert [one.account.id for one in partly_off().plan("shared").candidates] == ["other/first"]
    assert partly_off().plan_for(of("other"), "shared").candidates
    with pytest.raises(PermissionDenied):
        partly_off().plan_for(of("acme"), "shared")


@pytest.mark.parametrize(
    ("requested", "code", "told"),
    [
        ("acme/gpt-x", "switched_off", "the provider 'acme' is switched off or blocked"),
        ("acme/vendor/model", "switched_off", "the provider 'acme' is switched off or blocked"),
        ("gpt-x", "switched_off", "every provider that lists 'gpt-x' is switched off or blocked"),
        ("tired", "switched_off", "everything that 'tired' stands for is switched off or blocked"),
        ("only", "model_not_found", "there is no model 'only' here"),
        ("acme/", "model_not_found", "there is no model 'acme/' here"),
    ],
)
def test_what_is_off_is_not_found_and_nothing_else_is_served_for_it(requested: str, code: str, told: str) -> None:
    for ask in (partly_off().plan, lambda asked: partly_off().plan_for(of("*"), asked)):
        with pytest.raises(ModelNotFound) as caught:
            ask(requested)
        assert (caught.value.status, caught.value.code) == (404, code)
        assert told in caught.value.message


def test_a_scoped_key_gets_nobody_else_for_a_provider_that_is_off() -> None:
    """``other`` and ``third`` each list, as an id of their own, what is acme's with its prefix."""
    snapshot = partly_off().snapshot
    both = Catalogue(
        msgspec.structs.replace(snapshot, providers=(*snapshot.providers, provider("third", "acme/gpt-x")))
    )
    with pytest.raises(ModelNotFound) as caught:
        both.plan_for(of("acme", "other"), "acme/gpt-x")
    assert caught.value.code == "switched_off"


@pytest.mark.parametrize("requested", ["acme/gpt-x", "gpt-x", "tired"])
def test_who_may_not_use_a_provider_is_not_told_that_it_is_off(requested: str) -> None:
    with pytest.raises(PermissionDenied, match="none of the providers that this key may use"):
        partly_off().plan_for(of("other"), requested)


def test_who_may_use_a_provider_is_told_that_it_is_off_by_its_bare_id_too() -> None:
    with pytest.raises(ModelNotFound, match="switched off"):
        partly_off().plan_for(of("acme"), "gpt-x")


def test_a_pattern_over_a_provider_allows_no_name_that_a_combo_keeps_while_it_is_off() -> None:
    policy = s.KeyPolicy(id="key-o", name="o", models=("other/*",))
    assert partly_off().may_ask(policy, "shared")
    assert not partly_off().may_ask(policy, "only")


def test_the_list_leaves_out_what_is_off() -> None:
    listed = [entry.id for entry in partly_off().listed(s.KeyPolicy(id="key-all", name="all"))]
    assert listed == ["always-on", "other/shared", "other/only", "other/acme/gpt-x", "other/acme/vendor/model"]


def test_a_snapshot_of_an_earlier_or_a_later_version_is_read() -> None:
    later = s.encode(catalogue().snapshot).replace(b'{"revision"', b'{"not_known_yet":{"a":1},"revision"', 1)
    assert s.decode(later) == catalogue().snapshot
    earlier = s.encode(catalogue().snapshot).replace(b',"off":{"models":[],"combos":[],"idle":[]}', b"")
    assert b'"off"' not in earlier
    assert s.decode(earlier).off == s.Off()


def limited(*limits: s.Limit) -> s.Snapshot:
    keys = (s.KeyPolicy(id="key-a", name="a", limits=("two", "one")), s.KeyPolicy(id="key-b", name="b"))
    return msgspec.structs.replace(catalogue().snapshot, keys=keys, limits=limits)


def test_a_key_shares_the_limits_that_it_names_and_no_others() -> None:
    one, two = (
        s.Limit(id="one", name="all", requests_per_minute=5),
        s.Limit(id="two", name="x", budget=s.Budget(nano_usd=1)),
    )
    made = Catalogue(s.decode(s.encode(limited(one, two))))
    assert [made.limits(key) for key in made.snapshot.keys] == [(two, one), ()]
    assert len({limit.window_owner for limit in (one, two)} | {"key-one", "api-one"}) == 4


def test_a_key_with_a_limit_that_is_not_there_makes_no_catalogue() -> None:
    with pytest.raises(WireError, match="the key 'key-a' has a limit that is not there: 'two'"):
        Catalogue(limited(s.Limit(id="one", name="all", requests_per_minute=5)))


def test_a_snapshot_of_before_limits_has_none() -> None:
    earlier = s.encode(catalogue().snapshot).replace(b',"limits":[]', b"")
    assert b"limits" not in earlier
    found = s.decode(earlier)
    assert (found.limits, {key.limits for key in found.keys}) == ((), {()})
