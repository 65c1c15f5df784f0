from omni_edge.domain.admission import Holder
from omni_edge.domain.keys import KeyCache, Verdict

A, B, C = Holder("A"), Holder("B"), Holder("C")


def cache(size: int = 100) -> KeyCache:
    return KeyCache(size, ttl=30, negative_ttl=5, stale=60)


def test_a_good_key_is_believed_for_its_time_only() -> None:
    keys = cache()
    keys.accept(b"d", A, 0, 0)
    assert keys.find(b"d", 29.9) == A
    assert keys.find(b"d", 30) is Verdict.UNKNOWN


def test_a_key_is_due_at_half_its_time_and_again_a_little_later() -> None:
    keys = cache()
    keys.accept(b"d", A, 0, 0)
    assert [keys.is_due(b"d", now) for now in (14.9, 15, 16, 19.9, 20)] == [False, True, False, False, True]
    assert keys.find(b"d", 29.9) == A
    assert keys.find(b"d", 30) is Verdict.UNKNOWN
    keys.accept(b"d", A, 30, 0, age=10)
    assert [keys.is_due(b"d", now) for now in (34.9, 35)] == [False, True]
    assert not keys.is_due(b"unknown", 100)


def test_a_refusal_is_remembered_shortly() -> None:
    keys = cache()
    keys.refuse(b"d", 0, 0)
    assert keys.find(b"d", 4.9) is Verdict.REFUSED
    assert keys.find(b"d", 5) is Verdict.UNKNOWN


def test_the_least_recently_used_key_goes_first() -> None:
    keys = cache(size=2)
    keys.accept(b"a", A, 0, 0)
    keys.accept(b"b", B, 0, 0)
    keys.find(b"a", 1)
    keys.accept(b"c", C, 1, 0)
    assert [keys.find(digest, 2) for digest in (b"a", b"b", b"c")] == [A, Verdict.UNKNOWN, C]


def test_guessing_does_not_push_good_keys_out_and_stays_bounded() -> None:
    keys = cache(size=10)
    keys.accept(b"good", A, 0, 0)
    for guess in range(1000):
        keys.refuse(b"%d" % guess, 0, 0)
    assert keys.find(b"good", 1) == A
    assert len(keys) == 11


def test_a_new_configuration_forgets_all() -> None:
    keys = cache()
    keys.accept(b"a", A, 0, 0)
    keys.refuse(b"b", 0, 0)
    keys.clear()
    assert keys.find(b"a", 1) is Verdict.UNKNOWN
    assert keys.find(b"b", 1) is Verdict.UNKNOWN
    assert keys.find_stale(b"a", 1) is None


def test_an_answer_asked_for_before_a_clear_is_not_kept_after_it() -> None:
    keys = cache()
    asked_in = keys.generation
    keys.clear()
    keys.accept(b"a", A, 0, asked_in)
    keys.refuse(b"b", 0, asked_in)
    assert len(keys) == 0


def test_a_revoked_key_is_no_longer_stale() -> None:
    keys = cache()
    keys.accept(b"a", A, 0, 0)
    keys.refuse(b"a", 31, 0)
    assert keys.find_stale(b"a", 32) is None


def test_a_stale_key_is_extended_a_little_but_never_past_its_end() -> None:
    keys = cache()
    keys.accept(b"a", A, 0, 0)
    assert keys.find_stale(b"a", 89) == A
    keys.extend(b"a", 40)
    assert keys.find(b"a", 44) == A
    keys.extend(b"a", 88)
    assert keys.find(b"a", 90) is Verdict.UNKNOWN
    assert keys.find_stale(b"a", 90) is None
