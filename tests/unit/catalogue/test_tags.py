"""Tags as a client gives them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue import tags
from omni_catalogue.catalogue import Catalogue
from omni_catalogue.snapshot import KeyPolicy, Limit, Routing, Server, Snapshot
from omni_wire.errors import InvalidRequest

words = st.from_regex(r"[A-Za-z0-9._:@/=+-]{1,64}", fullmatch=True)


@given(st.lists(words, max_size=tags.MOST), st.data())
def test_what_is_written_is_read_each_once_in_its_order(some: list[str], data: st.DataObject) -> None:
    commas = [data.draw(st.sampled_from((",", ", ", " ,", ",,", "\t,"))) for _ in some]
    header = "".join(word + comma for word, comma in zip(some, commas, strict=True))
    assert tags.read(header) == tuple(dict.fromkeys(some))


@given(st.text(max_size=80))
def test_whatever_is_sent_is_read_or_refused_and_what_is_read_are_tags(header: str) -> None:
    try:
        found = tags.read(header)
    except InvalidRequest:
        return
    assert len(found) <= tags.MOST
    assert all(map(tags.is_tag, found))


@pytest.mark.parametrize(
    "header", [",".join(map(str, range(tags.MOST + 1))), "a" * (tags.LONGEST + 1), "a b", "a;b", "ü"]
)
def test_too_many_too_long_and_other_characters_are_refused(header: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        tags.read(header)
    assert caught.value.param == tags.HEADER


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True), st.sets(st.sampled_from(["a", "b", "c"])))
def test_a_request_has_the_limits_of_its_tags_that_its_key_has_not_and_of_its_own_organisation(
    added: list[str], own: set[str]
) -> None:
    limits = tuple(
        Limit(id=f"{organisation}-{tag}", name="x", of="tag", owner=tag, organisation=organisation)
        for organisation in ("default", "guests")
        for tag in "abc"
    )
    key = KeyPolicy(id="k", name="k", tags=tuple(own), limits=tuple(f"default-{tag}" for tag in sorted(own)))
    there = {"providers": (), "combos": (), "keys": (key,), "limits": limits}
    catalogue = Catalogue(Snapshot(revision=1, created=0, server=Server(), routing=Routing(), **there))  # type: ignore[arg-type]
    found = catalogue.limits_of_tags(key, added)
    assert found == tuple(f"default-{tag}" for tag in added if tag in "abc" and tag not in own)
