"""What a key that manages may hand out: no more than it has itself."""

from typing import Any

import pytest
from omni_catalogue.scopes import Scopes

OFFICE = ("192.0.2.0/24", "2001:db8::/32")


@pytest.mark.parametrize(
    ("own", "other", "may"),
    [
        ({}, {}, True),
        ({}, {"ips": OFFICE, "expires": 5}, True),
        ({"management": ("keys",)}, {"management": ("keys", "keys:read")}, True),
        ({"management": ("keys",)}, {}, False),
        ({"management": ("keys:read",)}, {"management": ("keys",)}, False),
        ({"ips": OFFICE}, {"ips": OFFICE}, True),
        ({"ips": OFFICE}, {"ips": ("192.0.2.128/25", "2001:db8:1::/48", "192.0.2.7")}, True),
        ({"ips": OFFICE}, {}, False),
        ({"ips": OFFICE}, {"ips": ("192.0.2.0/23",)}, False),
        ({"ips": OFFICE}, {"ips": ("192.0.2.0/24", "198.51.100.1")}, False),
        ({"ips": OFFICE}, {"ips": ("0.0.0.0/0",)}, False),
        ({"ips": ("192.0.2.0/24",)}, {"ips": ("2001:db8::/64",)}, False),
        ({"ips": OFFICE}, {"ips": ("nonsense",)}, False),
        ({"expires": 100}, {"expires": 100}, True),
        ({"expires": 100}, {"expires": 99}, True),
        ({"expires": 100}, {"expires": 101}, False),
        ({"expires": 100}, {}, False),
        ({"management": ("keys",), "ips": OFFICE, "expires": 9}, {"management": ("keys",), "ips": OFFICE}, False),
    ],
)
def test_who_manages_hands_out_no_more_than_it_has(own: dict[str, Any], other: dict[str, Any], may: bool) -> None:
    assert Scopes(**own).gives(Scopes(**other)) is may
