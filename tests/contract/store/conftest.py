"""The same suite on every kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from omni_auth.adapters.store.keys import SqlStore

from tests.support.store import KINDS, Place


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    kind = request.param
    return Place(kind, tmp_path, request.getfixturevalue("postgres") if kind == "postgresql" else None)


@pytest.fixture
def store(place: Place) -> Iterator[SqlStore]:
    opened = place.store()
    opened.open()
    yield opened
    opened.close()
