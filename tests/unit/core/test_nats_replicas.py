"""How many servers of a NATS cluster keep what is published."""

import pytest
from omni_core.settings import CoreSettings


def replicas(text: str) -> int:
    env = {"OMNIROUTE_NATS_REPLICAS": text}
    return CoreSettings.from_env(env, redis_url="", nats_url="", token="t").nats_replicas


def test_one_server_keeps_it_unless_told_otherwise() -> None:
    assert (replicas(""), replicas("3")) == (1, 3)


@pytest.mark.parametrize("text", ["0", "6", "three", "-1"])
def test_a_number_that_nats_would_refuse_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="OMNIROUTE_NATS_REPLICAS"):
        replicas(text)
