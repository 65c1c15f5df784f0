"""By which ways calls go out for an account, out of what is said for all, for its provider and for it alone."""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from omni_catalogue.proxies import LEVELS, SYSTEM, Egress, Proxy, Trust

from omni_auth.domain.schema import Config
from omni_auth.domain.sections.outbound import NO_PROXY, ProxySection
from omni_auth.domain.sections.providers import AccountSection, ProviderSection

_PORTS = {"http": 80, "https": 443, "socks5": 1080}


class EgressCompiler:
    """``versions`` are of the proxies' secrets by name, "" for one without."""

    def __init__(self, config: Config, versions: Mapping[str, str]) -> None:
        self._outbound = config.outbound
        self._fallbacks = {section.name: section.fallback for section in config.proxies}
        self.proxies = {section.name: self._proxy(section, versions[section.name]) for section in config.proxies}

    def of(self, provider: ProviderSection, account: AccountSection) -> tuple[Egress, ...]:
        """Empty where nothing is said: such a call is any connection."""
        trust = Trust(
            ca_files=tuple(dict.fromkeys(filter(None, (self._outbound.ca_file, provider.ca_file)))),
            client_certificate=provider.client_certificate,
            client_key=provider.client_key,
        )
        return self._found((account.proxy, provider.proxy, self._outbound.proxy), trust)

    def of_all(self) -> tuple[Egress, ...]:
        """For what is no account's yet: a login under way."""
        trust = Trust(ca_files=tuple(filter(None, (self._outbound.ca_file,))))
        return self._found(("", "", self._outbound.proxy), trust)

    def _found(self, said: tuple[str, ...], trust: Trust) -> tuple[Egress, ...]:
        found = tuple(Egress(proxy=proxy, level=level, trust=trust) for proxy, level in self._ways(said))
        is_plain = trust == SYSTEM and not any(way.proxy for way in found)
        return () if is_plain else found

    def _ways(self, said: tuple[str, ...]) -> Iterator[tuple[Proxy | None, str]]:
        levels = [(word, level) for word, level in zip(said, LEVELS, strict=True) if word]
        for word, level in levels:
            if word == NO_PROXY:
                yield None, level
                return
            yield self.proxies[word], level
            fallback = self._fallbacks[word]
            if fallback == "direct":
                yield None, level
            if fallback != "next":
                return
        if not levels:
            yield None, ""

    def _proxy(self, section: ProxySection, version: str) -> Proxy:
        url = urlsplit(section.url)
        files = tuple(filter(None, (self._outbound.ca_file, section.ca_file))) if section.kind == "https" else ()
        return Proxy(
            name=section.name,
            kind=section.kind,
            host=url.hostname or "",
            port=url.port or _PORTS[section.kind],
            secret_version=version,
            resolves=section.resolved,
            allow_private=section.allow_private_address,
            trust=Trust(ca_files=files),
        )
