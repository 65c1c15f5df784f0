"""Servers that many tests share. A test that stops or breaks a server makes its own (tests/support/servers.py)."""

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import omni_core  # noqa: F401 — before grpc: it quiets grpc's own log
import pytest
import redis
import trustme
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.support.clickhouse import ClickhouseServer, clickhouse_server
from tests.support.dividing import group
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.prometheus import programs
from tests.support.servers import nats_server, redis_server

# How long hypothesis takes to make an example says how busy the machine is, and nothing of what is tested. Hangs are
# pytest's to find.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Every HTTP client reads the roots that it trusts when it is made. The world's cost 30 ms of processor time, tests
    make thousands of clients, and none has business with the world: one root of nobody is enough for it. What is tested
    over TLS names its own."""
    if hasattr(config, "workerinput"):
        return  # it has its environment from the process that started it
    folder = tempfile.TemporaryDirectory(prefix="omniroute-roots-")
    config.add_cleanup(folder.cleanup)
    roots = Path(folder.name, "nobody.pem")
    trustme.CA().cert_pem.write_to_path(str(roots))
    os.environ["SSL_CERT_FILE"] = str(roots)


class Divided(LoadScopeScheduling):  # type: ignore[misc]
    """Groups of tests, in the order in which they are collected (with ``--no-loadscope-reorder``)."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Divided | None:
    return Divided(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_collection_finish() -> None:
    """Ten thousand collected tests are no garbage: without this every full collection walks through them again, a
    second of processor time that falls on whichever test is just being timed."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """One real Redis for the whole run; what is in it is of whichever tests ran before (see ``clean_redis``)."""
    with redis_server() as url:
        yield url


@pytest.fixture
def clean_redis(redis_url: str) -> str:
    """The shared Redis, emptied."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """One real NATS with JetStream for the whole run; tests choose names of their own for streams and buckets."""
    with nats_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One real PostgreSQL for the whole run; ``database()`` gives a test one of its own in it."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[ClickhouseServer]:
    """The engine of ClickHouse for the whole run; ``database()`` gives a test one of its own in it."""
    with clickhouse_server() as server:
        yield server


@pytest.fixture(scope="session")
def prometheus_programs() -> Path:
    """The folder with prometheus and promtool."""
    return programs()
