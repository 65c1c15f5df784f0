"""The vendors' Python SDKs in every scenario of the client matrix (tests/clients): each over its own format, and among
them over every other. The whole of it, with all clients, is `make matrix`."""

from collections.abc import Iterator

import pytest
from omni_wire.formats import WireFormat

from tests.clients.clients import PYTHON, Row
from tests.clients.door import Door, report
from tests.clients.jobs import Raised, Report, Turn, Used
from tests.clients.scenarios import SCENARIOS, Wrong
from tests.clients.upstreams import KEY, UPSTREAMS, Upstream, configuration
from tests.support.stack import running, simulator


@pytest.fixture(scope="module", params=["all"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    home = tmp_path_factory.mktemp(request.param)
    with simulator() as provider, running(request.param, home, configuration(provider.url), {}) as stack:
        yield Door(stack.edge, KEY)


RELAYED = [(row, upstream) for row in PYTHON for upstream in UPSTREAMS if row.dialect == upstream.format]
TRANSLATED = [(PYTHON[(at + 1) % len(PYTHON)], upstream) for at, upstream in enumerate(UPSTREAMS)]
PAIRS = [pytest.param(row, upstream, id=f"{row.name}-{upstream.id}") for row, upstream in (*RELAYED, *TRANSLATED)]


def test_every_client_and_every_upstream_is_translated_for() -> None:
    assert all(row.dialect != upstream.format for row, upstream in TRANSLATED)
    assert {row.name for row, _ in TRANSLATED} == {row.name for row in PYTHON} == {row.name for row, _ in RELAYED}
    assert {upstream.format for _, upstream in TRANSLATED} == set(WireFormat)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_client_cannot_tell_which_provider_answers(
    door: Door, client: Row, upstream: Upstream, scenario: str
) -> None:  # fmt: skip
    assert client.run is not None
    for _, job, check in SCENARIOS[scenario](client, upstream):
        check(report(client.run, door, job))


NOTHING_UNDERSTOOD = (
    Report(turns=[Turn()]),
    Report(turns=[Turn(), Turn()]),
    Report(turns=[Turn(used=Used(input=0, output=0), events=9)]),
    Report(raised=Raised(kind="Exception", family=["Exception"], status=200)),
)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("understood", NOTHING_UNDERSTOOD)
def test_no_scenario_takes_nothing_for_an_answer(scenario: str, understood: Report) -> None:
    for client in PYTHON:
        for _, _, check in SCENARIOS[scenario](client, UPSTREAMS[0]):
            with pytest.raises((Wrong, ValueError)):
                check(understood)
