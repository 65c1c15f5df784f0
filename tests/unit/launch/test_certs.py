"""``omniroute certs``: what it makes, what it refuses, and what its certificates are worth."""

import datetime as dt
import json
import ssl
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from omni_core.identity import SERVICES, service_of, spiffe
from omni_launch.certificates import described, issue, new_ca
from omni_launch.cli import cli
from omni_launch.targets import PARTS, TARGETS

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def certs(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["certs", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs") / "tls"
    assert certs("init", "--out", folder, "--host", "gw.lan").exit_code == 0
    return folder


def test_the_services_that_certificates_name_are_those_there_are() -> None:
    assert set(SERVICES) == set(PARTS)


def test_init_makes_a_ca_and_a_pair_for_each_service_and_store(made: Path) -> None:
    names = {"ca", *SERVICES, "gateway", "redis", "nats"}
    assert {path.name for path in made.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("crt", "key")}


def test_keys_are_for_their_owner_only(made: Path) -> None:
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.glob("*.key")} == {0o600}
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", [*SERVICES, "gateway"])
def test_a_certificate_names_the_services_of_its_process_and_the_hosts_it_is_found_at(made: Path, name: str) -> None:
    says = described((made / f"{name}.crt").read_bytes())
    assert says.services == TARGETS[name]
    assert set(says.hosts) == {name, *TARGETS[name], "localhost", "127.0.0.1", "::1", "gw.lan"}


def test_a_store_has_no_identity_of_a_service(made: Path) -> None:
    says = described((made / "redis.crt").read_bytes())
    assert says.services == ()
    assert "redis" in says.hosts


def test_only_uris_of_our_trust_domain_and_services_are_identities() -> None:
    assert service_of(spiffe("router")) == "router"
    for uri in ("spiffe://elsewhere/router", "spiffe://omniroute/nobody", "router", "spiffe://omniroute/router/x", ""):
        assert service_of(uri) == "", uri


@pytest.mark.parametrize("name", ["ca", "router"])
def test_nothing_that_is_there_is_overwritten(made: Path, name: str) -> None:
    before = {path: path.read_bytes() for path in made.iterdir()}
    again = certs("init", "--out", made) if name == "ca" else certs("issue", name, "--out", made)
    assert again.exit_code == 1
    assert "there already" in again.stderr
    assert {path: path.read_bytes() for path in made.iterdir()} == before


def test_issue_makes_one_more_and_knows_no_strangers(tmp_path: Path) -> None:
    assert "certs init" in certs("issue", "router", "--out", tmp_path).stderr, "there is no CA yet"
    certs("init", "--out", tmp_path / "a")
    issued = certs("issue", "control", "--out", tmp_path / "a", "--host", "10.0.0.7")
    assert issued.exit_code == 0, issued.stderr
    says = described(Path(issued.stdout.strip()).read_bytes())
    assert says.services == TARGETS["control"]
    assert "10.0.0.7" in says.hosts
    refused = certs("issue", "nobody", "--out", tmp_path / "a")
    assert (refused.exit_code, "there is no service 'nobody'" in refused.stderr) == (1, True)


def test_list_tells_when_each_ends(made: Path) -> None:
    shown = certs("list", "--out", made)
    assert shown.exit_code == 0
    assert "router" in shown.stdout
    found = {one["name"]: one for one in json.loads(certs("list", "--json", "--out", made).stdout)}
    assert 363 <= found["router"]["days_left"] <= 365
    assert found["ca"]["days_left"] > 3600


def test_an_expired_certificate_is_told_and_renewed_in_place(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    certs("init", "--out", folder, "--host", "gw.lan")
    ca = new_ca(NOW)
    old = issue(ca, "edge", ("gw.lan", "localhost"), NOW - dt.timedelta(days=800), 30)
    (folder / "edge.crt").write_bytes(old.certificate)
    listed = certs("list", "--out", folder)
    assert (listed.exit_code, "expired" in listed.stdout) == (1, True)
    others = (folder / "router.crt").read_bytes()
    renewed = certs("renew", "--out", folder)
    assert renewed.exit_code == 0, renewed.stderr
    assert "edge.crt" in renewed.stdout
    says = described((folder / "edge.crt").read_bytes())
    assert says.services == ("edge",)
    assert "gw.lan" in says.hosts
    assert (folder / "router.crt").read_bytes() == others, "it does not end soon"
    assert certs("list", "--out", folder).exit_code == 0
    assert "Nothing ends" in certs("renew", "--out", folder).stdout


def test_renewing_by_name_or_all_gives_new_keys_that_fit(made: Path) -> None:
    before = (made / "quota.key").read_bytes()
    assert certs("renew", "quota", "--out", made).exit_code == 0
    assert (made / "quota.key").read_bytes() != before
    before = (made / "auth.key").read_bytes()
    assert certs("renew", "--all", "--out", made).exit_code == 0
    assert (made / "auth.key").read_bytes() != before
    for name in (*SERVICES, "gateway", "redis", "nats"):
        context = ssl.create_default_context(cafile=made / "ca.crt")
        context.load_cert_chain(made / f"{name}.crt", made / f"{name}.key")  # raises when they do not fit
    assert stat.S_IMODE((made / "quota.key").stat().st_mode) == 0o600


def test_the_ca_is_not_renewed(made: Path) -> None:
    before = (made / "ca.key").read_bytes()
    assert certs("renew", "ca", "--out", made).exit_code == 1
    assert certs("renew", "--all", "--out", made).exit_code == 0
    assert (made / "ca.key").read_bytes() == before


def test_no_certificate_outlives_its_ca() -> None:
    says = described(issue(new_ca(NOW, days=10), "edge", (), NOW, 365).certificate)
    assert says.not_after == NOW + dt.timedelta(days=10)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    certs("init", "--out", folder)
    (folder / "edge.crt").write_text("nothing")
    listed = certs("list", "--out", folder)
    assert (listed.exit_code, "edge.crt is no certificate" in listed.stderr) == (1, True)


@pytest.mark.parametrize("verb", ["init", "issue", "list", "renew"])
def test_every_verb_teaches(verb: str) -> None:
    shown = certs(verb, "--help")
    assert shown.exit_code == 0
    assert "--out" in shown.stdout
    assert "certs init" in certs("--help").stdout
