"""How calls go out: proxies, which of them is used, and whom TLS trusts."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from omni_catalogue.proxies import FALLBACKS, RESOLVES
from pydantic import BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.sections.base import Flag, Name, OptionalSecret, SecretSource, Section

NO_PROXY = "direct"  # said of an account or a provider, in the place of a proxy's name

ProxyName = Annotated[str, BeforeValidator(scalars.name)]
PemFile = Annotated[str, BeforeValidator(scalars.pem_file)]


class ProxySection(Section):
    """``credentials`` are "user:password". As ``omni_catalogue.proxies.Proxy``; ``socks5h`` is SOCKS5 that resolves
    itself, as curl writes it."""

    name: Name
    url: Annotated[str, BeforeValidator(scalars.proxy_url)]
    credentials: OptionalSecret = SecretSource("none", "")
    resolves: Annotated[str, BeforeValidator(scalars.one_of(RESOLVES))] = ""
    fallback: Annotated[str, BeforeValidator(scalars.one_of(FALLBACKS))] = "fail"
    allow_private_address: Flag = False
    ca_file: PemFile = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        message = ""
        if self.name == NO_PROXY:
            message = f"name: {NO_PROXY} is the word for none"
        elif self.resolves == "here" and self.url.startswith("socks5h:"):
            message = "resolves: socks5h is SOCKS5 that resolves itself; say socks5"
        elif self.ca_file and self.kind != "https":
            message = "ca_file: is for TLS with the proxy itself, which only one at https:// has"
        if message:
            raise PydanticCustomError("omniroute", "{message}", {"message": message})
        return self

    @property
    def kind(self) -> str:
        return urlsplit(self.url).scheme.removesuffix("h")

    @property
    def resolved(self) -> str:
        return self.resolves or ("remote" if self.url.startswith("socks5h:") else "here")


class OutboundSection(Section):
    """For all providers: the proxy of whoever names none, and certificate authorities besides the system's.
    ``echo_url`` answers the address that it was asked from, for tests of proxies."""

    proxy: ProxyName = ""
    ca_file: PemFile = ""
    echo_url: Annotated[str, BeforeValidator(scalars.base_url)] = ""
