"""A short form of ``make fleet``: a configuration reaches every router, and a bad one none."""

from pathlib import Path

from tests.bench.propagation import run


def test_a_configuration_reaches_every_router_and_a_bad_one_none(tmp_path: Path) -> None:
    reached, *bad = run(tmp_path, routers=3, revisions=5, seed=1)
    assert reached["pass"], reached
    assert len(bad) == 2
    for refused in bad:
        assert refused["pass"], refused
        assert refused["figures"]["refused_by"] == 3
