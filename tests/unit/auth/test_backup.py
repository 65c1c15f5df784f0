"""Which backups are removed."""

from hypothesis import given
from hypothesis import strategies as st
from omni_auth.domain.backup import too_many

KEEP = st.integers(1, 4)


@given(st.integers(0, 12), KEEP)
def test_of_those_made_here_the_newest_stay(count: int, keep: int) -> None:
    arrived = {f"{number:02}": number for number in range(count)}
    assert too_many(arrived, keep) == sorted(arrived, reverse=True)[keep:]


@given(st.integers(2, 12), KEEP, st.data())
def test_an_old_one_that_is_imported_stays_while_as_many_are_made_as_are_kept(
    count: int, keep: int, data: st.DataObject
) -> None:
    arrived = {f"{number:02}": number for number in range(1, count)}
    imported = data.draw(st.sampled_from(["00", *arrived]))
    arrived[imported] = count
    for number in range(count + 1, count + 1 + keep):
        for name in too_many(arrived, keep):
            del arrived[name]
        assert imported in arrived
        arrived[f"{number:02}"] = number
    for number in range(count + 1 + keep, count + 2 + 3 * keep):
        for name in too_many(arrived, keep):
            del arrived[name]
        arrived[f"{number:02}"] = number
    assert imported not in arrived


@given(st.lists(st.integers(0, 9), max_size=10), KEEP)
def test_whenever_files_came_the_newest_stay_and_at_most_twice_as_many(times: list[int], keep: int) -> None:
    arrived = {f"{number:02}": time for number, time in enumerate(times)}
    kept = sorted(set(arrived) - set(too_many(arrived, keep)), reverse=True)
    assert kept[:keep] == sorted(arrived, reverse=True)[:keep]
    assert len(kept) <= 2 * keep
