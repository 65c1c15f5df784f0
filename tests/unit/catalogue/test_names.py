"""What else than its own name a model, a combo or a provider can be asked for by, and who may."""

from fnmatch import fnmatchcase
from itertools import pairwise

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from omni_catalogue import snapshot as s
from omni_catalogue.catalogue import Catalogue
from omni_catalogue.scopes import Scopes
from omni_catalogue.wildcards import Matcher, ranked
from omni_wire.errors import AmbiguousModel, ModelNotFound, PermissionDenied

from tests.unit.catalogue.test_catalogue import provider


def snapshot(*wildcards: tuple[str, str], **fields: object) -> s.Snapshot:
    base = s.Snapshot(
        revision=1,
        created=0,
        server=s.Server(),
        providers=(
            provider("claude", "sonnet", "opus", "shared"),
            provider("any", "*"),
            provider("new", "a", "shared"),
        ),
        combos=(
            s.Combo(name="best", strategy="fill-first", targets=("claude/opus", "new/a")),
            s.Combo(name="old/exact", strategy="fill-first", targets=("new/a",)),
        ),
        keys=(),
        routing=s.Routing(),
        wildcards=tuple(s.Wildcard(name=name, target=target) for name, target in wildcards),
        aka={"cc": "claude", "gone": "off"},
        off=s.Off(models=("off/m",)),
    )
    return msgspec.structs.replace(base, **fields)


WILD = snapshot(
    ("claude-*", "claude/sonnet"), ("claude-opus*", "best"), ("old/*", "new/*"), ("x-*-y-*", "any/*"), ("b?", "opus"),
    ("shared-*", "shared"), ("tired-*", "off/m"), ("by-*", "*"), ("to-*", "cc/*"),
)  # fmt: skip


def key(*models: str, providers: tuple[str, ...] = ()) -> s.KeyPolicy:
    return s.KeyPolicy(
        id="|".join((*models, "of", *providers)), name="k", models=models or ("*",), scopes=Scopes(providers=providers)
    )


def served(requested: str, found: s.Snapshot = WILD) -> list[str]:
    return [f"{each.provider.id}/{each.model.id}" for each in Catalogue(found).plan(requested).candidates]


@pytest.mark.parametrize(
    ("requested", "stands_for"),
    [
        ("claude-3-5-sonnet", ["claude/sonnet"]),
        ("claude-opus-4", ["claude/opus", "new/a"]),
        ("old/a", ["new/a"]),
        ("x-1/2-y-3", ["any/1/2"]),
        ("b1", ["claude/opus"]),
        ("by-sonnet", ["claude/sonnet"]),
        ("by-any/thing", ["any/thing"]),
        ("by-cc/opus", ["claude/opus"]),
        ("to-opus", ["claude/opus"]),
        ("by-best", ["claude/opus", "new/a"]),
    ],
)
def test_a_wildcard_alias_stands_for_its_target(requested: str, stands_for: list[str]) -> None:
    assert served(requested) == stands_for
    assert Catalogue(WILD).plan(requested).requested == requested


def test_a_plan_by_a_wildcard_alias_is_of_the_combo_that_it_stands_for() -> None:
    assert Catalogue(WILD).plan("claude-opus-4").combo == "best"


def test_exact_names_come_before_wildcard_aliases() -> None:
    found = msgspec.structs.replace(WILD, wildcards=(s.Wildcard(name="*", target="new/a"),))
    assert served("best", found) == ["claude/opus", "new/a"]
    assert served("claude/sonnet", found) == ["claude/sonnet"]
    assert served("any/thing", found) == ["any/thing"]
    assert served("opus", found) == ["claude/opus"]
    assert served("cc/opus", found) == ["claude/opus"]
    with pytest.raises(AmbiguousModel):
        served("shared", found)
    with pytest.raises(ModelNotFound, match="switched off"):
        served("off/m", found)
    assert served("nothing of all this", found) == ["new/a"]


@pytest.mark.parametrize(
    ("requested", "told"),
    [
        ("old/b", "there is no model 'old/b' here"),
        ("tired-x", "the provider 'off' is switched off"),
        ("by-nothing", "there is no model 'by-nothing' here"),
        ("b12", "there is no model 'b12' here"),
        ("gone/m", "the provider 'off' is switched off"),
    ],
)
def test_what_a_name_stands_for_may_not_be_there(requested: str, told: str) -> None:
    with pytest.raises(ModelNotFound, match=told):
        served(requested)


def test_a_wildcard_alias_of_an_ambiguous_id_is_told_by_the_name_that_was_asked_for() -> None:
    with pytest.raises(AmbiguousModel, match=r"'shared-1' is offered by several .* claude/shared, new/shared"):
        served("shared-1")
    few = Catalogue(WILD).plan_for(key(providers=("new",)), "shared-1")
    assert [each.provider.id for each in few.candidates] == ["new"]


# ---- what a key may reach -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "requested", "allowed"),
    [
        (("*",), "claude-3", True),
        (("claude-*",), "claude-3", True),  # all names of the alias
        (("claude/*",), "claude-3", True),  # what it stands for
        (("claude/sonnet",), "claude-3", True),
        (("claude/opus",), "claude-3", False),
        (("best",), "claude-opus-4", True),
        (("claude/*",), "claude-opus-4", False),  # a combo is allowed by its own name only
        (("*-3",), "claude-3", False),  # the client chose the end of the name
        (("claude-3",), "claude-3", False),
        (("old/a",), "old/a", False),
        (("new/*",), "old/a", True),
        (("new/b",), "old/a", False),
        (("old/*",), "old/a", True),
        (("old/?",), "old/ab", False),
        (("any/*",), "by-any/thing", True),
        (("sonnet",), "by-sonnet", True),
        (("claude/*",), "by-sonnet", True),
        (("new/*",), "by-sonnet", False),
        (("claude/*",), "cc/opus", True),
        (("cc/*",), "cc/opus", True),
        (("cc/*",), "claude/opus", False),
        (("new/*",), "cc/opus", False),
    ],
)
def test_a_key_reaches_by_another_name_what_its_patterns_allow(
    patterns: tuple[str, ...], requested: str, allowed: bool
) -> None:
    assert Catalogue(WILD).may_ask(key(*patterns), requested) is allowed


def test_a_key_reaches_by_no_name_a_provider_that_it_may_not_use() -> None:
    catalogue, few = Catalogue(WILD), key(providers=("new", "cc"))
    assert [each.provider.id for each in catalogue.plan_for(few, "claude-opus-4").candidates] == ["new"]
    for requested in ("claude-3", "cc/opus", "by-sonnet", "x-1-y-2", "to-opus", "b1", "tired-x"):
        with pytest.raises(PermissionDenied) as caught:
            catalogue.plan_for(few, requested)
        assert repr(requested) in caught.value.message
        assert "claude/" not in caught.value.message


NAMES = st.text("ab-/", max_size=8)
PATTERNS = st.text("ab-/*?", min_size=1, max_size=6)


@given(PATTERNS, NAMES, PATTERNS, st.text("ab-/*", min_size=1, max_size=5))
def test_no_pattern_of_a_key_allows_more_by_a_wildcard_alias_than_its_target_and_all_of_its_names(
    alias: str, requested: str, pattern: str, target: str
) -> None:
    assume("*" in alias or "?" in alias)
    catalogue = Catalogue(snapshot((alias, target), providers=(provider("a", "*"),), combos=(), aka={}))
    matcher = Matcher(s.Wildcard(name=alias, target=target))
    if catalogue.may_ask(key(pattern), requested) and requested.partition("/")[0] != "a" and matcher.meant(requested):
        covers = fnmatchcase(alias, pattern) and fnmatchcase(requested, pattern)
        assert covers or fnmatchcase(matcher.meant(requested), pattern)


def test_wildcard_aliases_and_other_names_of_providers_are_not_listed() -> None:
    listed = [entry.id for entry in Catalogue(WILD).listed(key())]
    assert listed == [
        "best", "old/exact", "claude/sonnet", "claude/opus", "claude/shared", "new/a", "new/shared",
    ]  # fmt: skip


# ---- matching -------------------------------------------------------------------------------------------------------


@given(PATTERNS, NAMES)
def test_a_wildcard_alias_matches_what_a_glob_pattern_does(pattern: str, name: str) -> None:
    assert Matcher(s.Wildcard(name=pattern, target="t")).matches(name) is fnmatchcase(name, pattern)


@given(PATTERNS, NAMES)
def test_a_star_of_the_target_is_what_the_first_of_the_name_took_and_puts_the_name_together_again(
    pattern: str, name: str
) -> None:
    assume("*" in pattern)
    matcher = Matcher(s.Wildcard(name=pattern, target="<*>"))
    if matcher.matches(name):
        taken = matcher.meant(name)[1:-1]
        again = Matcher(s.Wildcard(name=pattern.replace("*", taken, 1), target="t"))
        assert again.matches(name)


def test_text_that_means_something_to_a_regular_expression_is_meant_as_it_stands() -> None:
    assert Matcher(s.Wildcard(name="a.b+(c)\\?*", target="t")).matches("a.b+(c)\\x and more")
    assert not Matcher(s.Wildcard(name="a.b*", target="t")).matches("axb")


def test_an_alias_of_many_stars_takes_no_time_over_an_id_that_it_nearly_matches() -> None:
    assert not Matcher(s.Wildcard(name="*a" * 100 + "b", target="t")).matches("a" * 512)


@given(st.lists(PATTERNS, unique=True, max_size=6))
def test_which_alias_is_asked_first_goes_by_how_specific_it_is_and_else_by_the_list(
    patterns: list[str],
) -> None:
    def literals(name: str) -> int:
        return len(name) - name.count("*") - name.count("?")

    wildcards = [s.Wildcard(name=name, target="t") for name in patterns]
    order = [matcher.name for matcher in ranked(wildcards)]
    assert order == [matcher.name for matcher in ranked(wildcards)]
    for one, other in pairwise(order):
        assert literals(one) >= literals(other)
        if literals(one) == literals(other):
            assert len(one) <= len(other)
            if len(one) == len(other):
                assert patterns.index(one) < patterns.index(other)
