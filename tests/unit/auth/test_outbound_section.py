"""Proxies and ways out in a configuration file: what is taken, what is refused, and what comes of the levels."""

from typing import Any

import pytest
from omni_auth.domain import configuration
from omni_auth.domain.compilation import Compiled, compile_snapshot
from omni_auth.domain.problems import ConfigErrors
from omni_catalogue.proxies import Egress, Trust
from omni_catalogue.snapshot import decode, encode

FILE = """
outbound: {{{outbound}}}
proxies:
  - {{name: office, url: "http://proxy.example.com:3128", credentials: {{env: OFFICE}}, fallback: {fallback}}}
  - {{name: spare, url: "socks5h://10.0.0.7", allow_private_address: true}}
  - {{name: tls, url: "https://secure.example.com", ca_file: /etc/proxy.pem}}
providers:
  - {{id: acme, format: openai.chat, base_url: "https://acme.example.com/v1", {provider}
     accounts: [{{name: a, api_key: none, {account}}}]}}
"""
ENV = {"OFFICE": "ann:a-password"}


def compiled(outbound: str = "", provider: str = "", account: str = "", fallback: str = "fail") -> Compiled:
    text = FILE.format(outbound=outbound, provider=provider, account=account, fallback=fallback)
    return compile_snapshot(configuration.load(text, "omniroute.yaml", ENV, str), (), b"p" * 32)


def ways(**said: str) -> list[tuple[str, str]]:
    egress = compiled(**said).content.providers[0].accounts[0].egress
    return [(way.proxy.name if way.proxy is not None else "-", way.level) for way in egress]


def test_an_account_of_which_nothing_is_said_has_no_ways() -> None:
    assert ways() == []
    assert ways(outbound="proxy: office", account="proxy: direct") == []


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"outbound": "proxy: office"}, [("office", "global")]),
        ({"outbound": "proxy: office", "provider": "proxy: spare,"}, [("spare", "provider")]),
        ({"provider": "proxy: spare,", "account": "proxy: office"}, [("office", "account")]),
        ({"account": "proxy: office", "fallback": "direct"}, [("office", "account"), ("-", "account")]),
        (
            {"account": "proxy: office", "outbound": "proxy: spare", "fallback": "next"},
            [("office", "account"), ("spare", "global")],
        ),
        ({"account": "proxy: office", "fallback": "next"}, [("office", "account")]),
        (
            {"account": "proxy: office", "provider": "proxy: direct,", "fallback": "next"},
            [("office", "account"), ("-", "provider")],
        ),
    ],
)
def test_the_most_specific_word_holds_and_nobody_goes_direct_unasked(
    said: dict[str, str], found: list[tuple[str, str]]
) -> None:
    assert ways(**said) == found


def test_a_proxys_password_is_auths_alone() -> None:
    made = compiled(outbound="proxy: office")
    assert made.accounts["proxy:office"].secret == ENV["OFFICE"]
    published = encode(made.content)
    assert b"a-password" not in published
    proxies = {proxy.name: proxy for proxy in decode(published).proxies}
    assert proxies["office"].secret_version == made.accounts["proxy:office"].version != ""
    assert (proxies["spare"].kind, proxies["spare"].port, proxies["spare"].resolves) == ("socks5", 1080, "remote")
    assert (proxies["tls"].port, proxies["tls"].trust.ca_files) == (443, ("/etc/proxy.pem",))
    assert proxies["office"].id not in {account.id for each in made.content.providers for account in each.accounts}


def test_authorities_are_those_for_all_and_the_providers_own() -> None:
    made = compiled(
        outbound="ca_file: /etc/all.pem",
        provider="ca_file: /etc/acme.pem, client_certificate: /etc/own.pem, client_key: /etc/own.key,",
    )
    trust = Trust(
        ca_files=("/etc/all.pem", "/etc/acme.pem"), client_certificate="/etc/own.pem", client_key="/etc/own.key"
    )
    assert made.content.providers[0].accounts[0].egress == (Egress(trust=trust),)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"outbound": "proxy: ofice"}, "outbound.proxy: there is no proxy 'ofice'; did you mean 'office'?"),
        ({"provider": "proxy: none,"}, "providers[0].proxy: there is no proxy 'none'"),
        ({"account": "proxy: none"}, "providers[0].accounts[0].proxy: there is no proxy 'none'"),
        ({"provider": "ca_file: relative.pem,"}, "must be the absolute path"),
        ({"provider": "client_key: /etc/own.key,"}, "belong together"),
        ({"fallback": "sometimes"}, "proxies[0].fallback: must be one of fail, direct, next"),
    ],
)
def test_what_does_not_fit_is_told_by_its_place(said: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        compiled(**said)
    assert any(told in problem for problem in raised.value.problems), raised.value.problems


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{name: direct, url: 'http://p.example.com'}", "is the word for none"),
        ("{name: a, url: 'http://ann:pw@p.example.com'}", "must not carry a password"),
        ("{name: a, url: 'ftp://p.example.com'}", "must be a URL such as"),
        ("{name: a, url: 'http://p.example.com/path'}", "without a path"),
        ("{name: a, url: 'http://127.0.0.1:3128'}", "allow_private_address"),
        ("{name: a, url: 'socks5h://p.example.com', resolves: here}", "say socks5"),
        ("{name: a, url: 'http://p.example.com', ca_file: /etc/a.pem}", "only one at https:// has"),
        ("{name: a, url: 'http://p.example.com'}, {name: a, url: 'http://q.example.com'}", "is called 'a' already"),
        ("{name: a, url: 'http://p.example.com', credentials: {env: MISSING}}", "MISSING is not set"),
    ],
)
def test_a_proxy_that_can_not_be_one_is_refused(entry: str, told: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        configuration.load(f"proxies: [{entry}]", "omniroute.yaml", ENV, str)
    assert any(told in problem for problem in raised.value.problems), raised.value.problems
    assert not any("pw" in problem.split("http")[-1] for problem in raised.value.problems)


def test_a_stored_proxy_whose_password_is_gone_leads_nowhere_rather_than_be_left_out() -> None:
    from omni_auth.domain import whole
    from omni_auth.domain.entities import Entity
    from omni_auth.domain.objects import Held
    from omni_auth.domain.secrecy import SecretUnreadable

    def entity(kind: str, **document: Any) -> Entity:
        return Entity(kind=kind, id=f"{kind}-1", organisation="default", document=document, relations={})

    def gone(*_: object) -> str:
        raise SecretUnreadable("the environment variable OFFICE is not set")

    held = Held(
        [
            entity("proxies", name="office", url="http://proxy.example.com", credentials={"env": "OFFICE"}),
            entity("settings", outbound={"proxy": "office"}),
        ]
    )
    file = configuration.load(
        "providers: [{id: acme, format: openai.chat, base_url: 'https://a.example.com/v1',"
        " accounts: [{name: a, api_key: none}]}]", "omniroute.yaml", {}, str,
    )  # fmt: skip
    found, told = whole.usable(file, held, gone)
    (way,) = compile_snapshot(found, (), b"p" * 32).content.providers[0].accounts[0].egress
    assert way.proxy is not None
    assert (way.proxy.name, way.proxy.host, way.level) == ("office", "left-out.invalid", "global")
    assert "OFFICE is not set" in told[0]
