"""What is the gateway's own is no credential of a provider, by whichever name it is called."""

import os

import pytest
from omni_auth.adapters.own_secrets import OwnSecrets
from omni_auth.domain.secrecy import SecretUnreadable
from omni_auth.domain.sections.base import SecretSource

KEYS = (SecretSource("env", "CI_KEY"), SecretSource("file", "ci.key"), SecretSource("value", "text"))


class World:
    def __init__(self, root):
        self.root, self.data, self.config = root, root / "data", root / "etc"
        for folder in (self.data / "auth", self.config, root / "run", root / "allowed"):
            folder.mkdir(parents=True)
        for name in ("data/local.key", "data/auth/auth.sqlite3", "etc/omniroute.yaml", "etc/ci.key", "etc/acme.key",
                     "run/tls.key", "run/token", "allowed/acme.key"):  # fmt: skip
            (root / name).write_text(f"secret of {name}")
        self.env = {
            "OMNIROUTE_TLS_KEY": str(root / "run/tls.key"),
            "OMNIROUTE_SERVICE_TOKEN_FILE": str(root / "run/token"),
            "OMNIROUTE_LOG_LEVEL": "INFO",
            "OMNIROUTE_VAULT_KEYS": "v:\0" + "x" * 5000,
            "OMNIROUTE_CONFIG": "",
        }

    def real(self, name):
        own = OwnSecrets(self.env, self.data, self.config / "omniroute.yaml")
        return own.real_file(self.config, str(name), KEYS)

    def refused(self, name):
        with pytest.raises(SecretUnreadable) as caught:
            self.real(name)
        return str(caught.value)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_a_file_of_ones_own_is_taken(world):
    assert world.real("acme.key") == world.config / "acme.key"
    assert world.real("not-there.key") == world.config / "not-there.key"
    assert world.real(world.root / "allowed/acme.key").read_text() == "secret of allowed/acme.key"


@pytest.mark.parametrize(
    "name", ["../data/local.key", "../data/auth/auth.sqlite3", "../etc/../data/./local.key", "../data/not-there"]
)
def test_nothing_of_the_data_directory_is_taken_whether_it_is_there_or_not(world, name):
    for called in (name, world.config / name):
        told = world.refused(called)
        assert told.startswith(f"the file {called} lies in the gateway's data directory")
        assert "give the secret as {value: …}" in told


@pytest.mark.parametrize("name", ["run/tls.key", "run/token", "etc/omniroute.yaml"])
def test_no_file_that_a_setting_names_is_taken(world, name):
    assert f"the file {world.root / name} is the gateway's own" in world.refused(world.root / name)


def test_no_file_with_a_key_of_this_gateway_is_taken(world):
    assert "holds a key to this gateway" in world.refused("ci.key")
    assert "holds a key to this gateway" in world.refused("../etc/ci.key")


@pytest.mark.parametrize("name", ["data/local.key", "run/tls.key", "etc/ci.key", "etc/omniroute.yaml", "data/none"])
def test_a_link_is_what_it_leads_to(world, name):
    (world.config / "innocent.key").symlink_to(world.root / name)
    (world.config / "twice.key").symlink_to("innocent.key")
    assert "gateway" in world.refused("innocent.key")
    assert "gateway" in world.refused("twice.key")


def test_a_link_to_a_folder_and_a_second_name_of_a_file_lead_nowhere_else(world):
    (world.config / "folder").symlink_to(world.data)
    assert "data directory" in world.refused("folder/local.key")
    os.link(world.root / "run/token", world.config / "second.key")
    assert "is the gateway's own" in world.refused("second.key")


def test_the_data_directory_and_the_settings_may_be_links_themselves(world):
    (world.root / "linked").symlink_to(world.data)
    (world.root / "token-link").symlink_to(world.root / "run/token")
    own = OwnSecrets({"OMNIROUTE_SERVICE_TOKEN_FILE": str(world.root / "token-link")}, world.root / "linked")
    for name in ("data/local.key", "linked/local.key", "run/token", "token-link"):
        with pytest.raises(SecretUnreadable):
            own.real_file(world.root, name, ())


def test_a_relative_setting_and_one_of_the_home_directory_are_found(world, monkeypatch):
    monkeypatch.chdir(world.root)
    monkeypatch.setenv("HOME", str(world.root))
    for value in ("run/token", "~/run/token"):
        world.env = {"OMNIROUTE_SERVICE_TOKEN_FILE": value}
        assert "is the gateway's own" in world.refused(world.root / "run/token")


def test_where_folders_are_named_only_files_in_them_are_taken(world):
    world.env["OMNIROUTE_SECRET_DIRS"] = os.pathsep.join(
        ["", str(world.root / "elsewhere"), str(world.root / "allowed")]
    )
    assert world.real("../allowed/acme.key") == world.root / "allowed/acme.key"
    told = world.refused("acme.key")
    assert told == "the file acme.key lies in none of the folders that OMNIROUTE_SECRET_DIRS names: put it into one"
    (world.root / "allowed/link.key").symlink_to(world.config / "acme.key")
    assert "OMNIROUTE_SECRET_DIRS" in world.refused(world.root / "allowed/link.key")
    assert "OMNIROUTE_SECRET_DIRS" in world.refused(world.root / "allowed/../etc/acme.key")


def test_a_folder_that_holds_the_data_directory_opens_nothing_of_it(world):
    world.env["OMNIROUTE_SECRET_DIRS"] = str(world.root)
    assert world.real("acme.key") == world.config / "acme.key"
    assert "data directory" in world.refused("../data/local.key")


def test_what_is_no_path_is_refused(world):
    assert "not a path" in world.refused("a\0b")


@pytest.mark.parametrize(
    "name",
    [
        "OMNIROUTE_KEY",
        "OMNIROUTE__SERVER__PORT",
        "OMNIROUTE_AUTH_DATABASE_URL",
        "PGPASSWORD",
        "OTEL_EXPORTER_OTLP_HEADERS",
    ],
)
def test_a_variable_of_ours_is_refused(tmp_path, name):
    with pytest.raises(SecretUnreadable, match="is the gateway's own, which no provider gets"):
        OwnSecrets({name: "x"}, tmp_path).refuse_variable(name, ())


@pytest.mark.parametrize("name", ["ACME_KEY", "MY_OMNIROUTE_KEY", "PGAI_KEY"])
def test_another_variable_is_taken(tmp_path, name):
    OwnSecrets({name: "x"}, tmp_path).refuse_variable(name, KEYS)


def test_a_variable_that_a_key_of_this_gateway_comes_from_is_refused(tmp_path):
    judge = OwnSecrets({}, tmp_path)
    with pytest.raises(SecretUnreadable, match="CI_KEY holds a key to this gateway"):
        judge.refuse_variable("CI_KEY", KEYS)
    judge.refuse_variable("ci.key", KEYS)
