"""Where a key may be used, for what, and until when."""

from ipaddress import ip_address

import pytest
from omni_catalogue.scopes import Scopes
from omni_edge.domain.admission import holder
from omni_wire.errors import GatewayError, PermissionDenied, Unauthenticated

HOME = ip_address("192.0.2.7")


def refusal(scopes: Scopes, endpoint: str = "chat", client: str = "192.0.2.7", now: int = 100) -> GatewayError | None:
    return holder("k", scopes).refusal(endpoint, ip_address(client) if client else None, now)


def test_a_key_without_scopes_is_not_looked_at_again() -> None:
    assert not holder("k", Scopes()).limited
    assert not holder("k", Scopes(providers=("acme",))).limited, "providers are the router's to see to"
    assert refusal(Scopes()) is None


def test_an_endpoint_that_is_not_named_is_refused_by_its_name_with_those_that_are() -> None:
    scopes = Scopes(endpoints=("models", "chat"))
    assert refusal(scopes, "chat") is None
    refused = refusal(scopes, "messages")
    assert isinstance(refused, PermissionDenied)
    assert refused.code == "endpoint_not_allowed"
    assert "'messages'" in refused.message
    assert "chat, models" in refused.message


@pytest.mark.parametrize("client", ["198.51.100.1", "2001:db8::1", ""])
def test_a_client_elsewhere_or_nowhere_is_refused(client: str) -> None:
    scopes = Scopes(ips=("192.0.2.0/24", "2001:db8:1::/48"))
    assert refusal(scopes, client="2001:db8:1::9") is None
    refused = refusal(scopes, client=client)
    assert isinstance(refused, PermissionDenied)
    assert refused.code == "address_not_allowed"
    assert (client or "unknown") in refused.message


def test_a_key_ends_at_its_time_to_the_second() -> None:
    scopes = Scopes(expires=100)
    assert refusal(scopes, now=99) is None
    assert isinstance(refusal(scopes, now=100), Unauthenticated)


def test_a_network_that_is_none_lets_nobody_in() -> None:
    with pytest.raises(ValueError, match="everywhere"):
        holder("k", Scopes(ips=("everywhere",)))
