"""The listeners: where they are, and what they hold against those who come to them."""

from typing import Annotated, Self

from omni_catalogue.guard import ALLOW, BLOCK, FORWARDED, FORWARDED_FOR
from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.sections.base import Flag, Network, Section

MOST_BANS = 1_000
_Count = Annotated[int, BeforeValidator(scalars.count_or_off(1_000_000))]
HostName = Annotated[str, BeforeValidator(scalars.host_pattern)]
Origin = Annotated[str, BeforeValidator(scalars.origin)]
Method = Annotated[str, BeforeValidator(scalars.one_of(("GET", "POST", "PUT", "DELETE", "PATCH")))]
Header = Annotated[str, BeforeValidator(scalars.header_name)]


class AddressesSection(Section):
    """Who may come: all but ``networks`` with ``mode: block``, nobody else with ``mode: allow``."""

    mode: Annotated[str, BeforeValidator(scalars.one_of((ALLOW, BLOCK)))] = BLOCK
    networks: tuple[Network, ...] = ()

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.mode == ALLOW and not self.networks:
            raise PydanticCustomError("omniroute", "networks: mode: allow with none of them lets nobody in")
        return self


class BanSection(Section):
    """A network that is kept out, to an end or for good."""

    network: Network
    until: Annotated[int, BeforeValidator(scalars.moment)] = 0
    reason: str = Field(default="", max_length=200)


class GuardSection(Section):
    """For each client address (an IPv6 one with all of its /64), and for each key."""

    requests: _Count = 0
    key_requests: _Count = 0
    concurrent: _Count = 0
    key_concurrent: _Count = 0
    connections: _Count = 0
    failures: _Count = 100


class CorsSection(Section):
    """Pages of which origins may read answers in a browser."""

    origins: tuple[Origin, ...] = ()
    methods: tuple[Method, ...] = ()
    headers: tuple[Header, ...] = ()
    max_age: Annotated[int, BeforeValidator(scalars.whole(0, 86_400))] = 600
    credentials: Flag = False

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.credentials and "*" in self.origins:
            message = "credentials: goes with origins that are named; with '*' any page could act for who is signed in"
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self


class ServerSection(Section):
    host: Annotated[str, BeforeValidator(scalars.host)] = "127.0.0.1"
    port: Annotated[int, BeforeValidator(scalars.whole(0, 65_535))] = 20128
    require_api_key: Flag = True
    max_body_bytes: Annotated[int, BeforeValidator(scalars.whole(1_024, 1 << 30))] = 20 * 1024 * 1024
    trusted_proxies: tuple[Network, ...] = ()
    trusted_header: Annotated[str, BeforeValidator(scalars.one_of((FORWARDED_FOR, FORWARDED)))] = FORWARDED_FOR
    hosts: tuple[HostName, ...] = ()
    addresses: AddressesSection = AddressesSection()
    bans: tuple[BanSection, ...] = Field(default=(), max_length=MOST_BANS)
    guard: GuardSection = GuardSection()
    cors: CorsSection = CorsSection()
    management_cors: CorsSection = CorsSection()
