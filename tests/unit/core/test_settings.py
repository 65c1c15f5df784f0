"""Settings come from the environment, have defaults, and do not show their secrets."""

from pathlib import Path

import pytest
from omni_core.settings import GRPC_PORTS, CoreSettings
from omni_core.tls import TlsFiles


def settings(env: dict[str, str]) -> CoreSettings:
    return CoreSettings.from_env(env, redis_url="redis://:hush@r:1/0", nats_url="nats://hush@n:2", token="hush-token")


def test_an_empty_environment_gives_loopback_and_the_documented_ports() -> None:
    made = settings({})
    assert made.data_dir == Path.home() / ".omniroute"
    assert made.grpc_host == made.http_host == "127.0.0.1"
    found = {"router": "discover", "translator": "discover"}
    assert made.peers == {name: f"127.0.0.1:{port}" for name, port in GRPC_PORTS.items()} | found
    assert (made.grpc_max_age, made.advertise) == (300.0, "")
    assert (made.log_level, made.log_format) == ("INFO", "text")


def test_each_variable_is_taken() -> None:
    made = settings(
        {
            "DATA_DIR": "~/gateway",
            "OMNIROUTE_ROUTER_ADDR": "router:1",
            "OMNIROUTE_GRPC_MAX_AGE": "0",
            "OMNIROUTE_ADVERTISE": "10.0.0.7",
            "OMNIROUTE_GRPC_HOST": "0.0.0.0",
            "OMNIROUTE_HTTP_HOST": "::",
            "OMNIROUTE_LOG_LEVEL": "debug",
            "OMNIROUTE_LOG_FORMAT": "json",
        }
    )
    assert made.data_dir == Path.home() / "gateway"
    assert made.peers["router"] == "router:1"
    assert (made.grpc_max_age, made.advertise) == (0.0, "10.0.0.7")
    assert made.peers["auth"] == f"127.0.0.1:{GRPC_PORTS['auth']}"
    assert (made.grpc_host, made.http_host) == ("0.0.0.0", "::")
    assert (made.log_level, made.log_format) == ("DEBUG", "json")


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_an_age_that_is_no_number_of_seconds_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="OMNIROUTE_GRPC_MAX_AGE"):
        settings({"OMNIROUTE_GRPC_MAX_AGE": text})


def test_neither_the_token_nor_a_url_with_a_password_is_in_the_repr() -> None:
    made = settings({})
    assert "hush" not in repr(made)
    assert "hush" not in f"{made}"


def test_a_certificate_is_given_whole_or_not_at_all() -> None:
    whole = {"OMNIROUTE_TLS_CA": "/c/ca.crt", "OMNIROUTE_TLS_CERT": "/c/edge.crt", "OMNIROUTE_TLS_KEY": "/c/edge.key"}
    assert settings({}).tls is None
    assert settings(whole).tls == TlsFiles(Path("/c/ca.crt"), Path("/c/edge.crt"), Path("/c/edge.key"))
    for name in whole:
        with pytest.raises(ValueError, match=name):
            settings({key: value for key, value in whole.items() if key != name})
