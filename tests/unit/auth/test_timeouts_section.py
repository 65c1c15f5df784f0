"""Timeouts in the configuration: for all, at a provider, at a combo; the narrowest place is heard for each."""

import pytest
from omni_auth.domain.compilation import compile_snapshot
from omni_auth.domain.configuration import load
from omni_auth.domain.entities import as_tree, typed
from omni_auth.domain.problems import ConfigErrors
from omni_catalogue import snapshot as s
from omni_catalogue.catalogue import Catalogue

FILE = """\
providers:
  - {id: slow, format: openai.chat, base_url: "https://s.example/v1", timeouts: {first_byte: 300, idle: 1.5},
     accounts: [{name: a, api_key: none}]}
  - {id: plain, format: openai.chat, base_url: "https://p.example/v1", accounts: [{name: a, api_key: none}]}
combos:
  - {name: quick, timeouts: {first_byte: 2, total: 9}, targets: [slow/m, inner]}
  - {name: inner, timeouts: {idle: 7}, targets: [plain/m]}
aliases: [{name: fast, target: quick}, {name: one, target: slow/m}]
routing: {timeouts: {connect: 4, total: 500}}
"""


def snapshot(text: str = FILE) -> s.Snapshot:
    return compile_snapshot(load(text, "omniroute.yaml", {}, lambda path: path), (), b"pepper").content


def test_of_each_the_narrowest_place_is_heard() -> None:
    catalogue = Catalogue(snapshot())
    slow, plain = catalogue.snapshot.providers
    assert catalogue.timeouts("", plain) == s.Timeouts(connect=4.0, first_byte=120.0, idle=60.0, total=500.0)
    assert catalogue.timeouts("", slow) == s.Timeouts(connect=4.0, first_byte=300.0, idle=1.5, total=500.0)
    for name in ("quick", "fast"):
        assert catalogue.timeouts(name, slow) == s.Timeouts(connect=4.0, first_byte=2.0, idle=1.5, total=9.0)
        assert catalogue.timeouts(name, plain) == s.Timeouts(connect=4.0, first_byte=2.0, idle=60.0, total=9.0), (
            "of a combo in it nothing is heard"
        )
    assert catalogue.timeouts("one", slow) == catalogue.timeouts("", slow)


@pytest.mark.parametrize("place", ["providers[1]", "combos[1]", "routing"])
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("{idle: 0}", "timeouts.idle: must be more than 0 and at most 86400 seconds"),
        ("{total: -1}", "timeouts.total: must be more than 0 and at most 86400 seconds"),
        ("{connect: 86401}", "timeouts.connect: must be more than 0 and at most 86400 seconds"),
        ("{first_byte: soon}", "timeouts.first_byte: must be a number of seconds"),
        ("{first_byte: 10, total: 9.5}", "timeouts: first_byte is 10 s, which is more than the 9.5 s of total"),
        ("{frist_byte: 10}", "timeouts.frist_byte: unknown key; did you mean 'first_byte'?"),
    ],
)
def test_what_cannot_be_is_refused_by_its_place(place: str, said: str, told: str) -> None:
    text = FILE.replace("routing: {timeouts: {connect: 4, total: 500}}", "routing: {retries: 0}")
    if place == "routing":
        text = text.replace("retries: 0", f"timeouts: {said}")
    elif place == "combos[1]":
        text = text.replace("timeouts: {idle: 7}", f"timeouts: {said}")
    else:
        text = text.replace("{id: plain,", f"{{id: plain, timeouts: {said},")
    with pytest.raises(ConfigErrors) as caught:
        snapshot(text)
    assert f"{place}.{told}" in str(caught.value)


@pytest.mark.parametrize("said", ["{total: 60}", "{first_byte: 60, total: 60}", "{first_byte: 900}", "{}"])
def test_what_is_not_said_at_the_same_place_contradicts_nothing(said: str) -> None:
    assert snapshot(FILE.replace("timeouts: {idle: 7}", f"timeouts: {said}"))


def test_a_snapshot_of_an_earlier_version_has_those_for_all() -> None:
    older = s.encode(snapshot())
    for said in (b',"timeouts":{"first_byte":300.0,"idle":1.5}', b',"timeouts":{"first_byte":2.0,"total":9.0}'):
        assert said in older
        older = older.replace(said, b"")
    found = Catalogue(s.decode(older))
    assert found.timeouts("quick", found.snapshot.providers[0]) == found.snapshot.routing.timeouts


def test_an_api_shows_what_was_written_with_numbers_as_numbers() -> None:
    document = {"name": "c", "targets": ["slow/m"], "timeouts": {"first_byte": 1.5, "total": 60}}
    assert typed("combos", as_tree(document)) == document  # type: ignore[arg-type]
