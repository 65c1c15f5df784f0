"""The router's tunables may be set by name."""

import pytest
from omni_router.settings import RouterSettings


def test_a_variable_sets_its_field_and_the_others_keep_their_defaults() -> None:
    made = RouterSettings.from_env({"OMNIROUTE_ROUTER_HOLD_MARGIN": "0.5", "OMNIROUTE_ROUTER_ADDR": "router:1"})
    assert made == RouterSettings(hold_margin=0.5)
    assert RouterSettings.from_env({}) == RouterSettings()


def test_what_is_no_number_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="OMNIROUTE_ROUTER_"):
        RouterSettings.from_env({"OMNIROUTE_ROUTER_HOLD_MARGIN": "long"})
