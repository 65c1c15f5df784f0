"""Flags before environment before file before defaults."""

from pathlib import Path

import pytest
from omni_launch.environment import (
    Flags,
    Inherited,
    ServerSection,
    config_file,
    cores,
    external_url,
    inherited,
    listen,
    merged,
    server_section,
    worker_count,
)
from omni_launch.problems import CannotStart
from omni_launch.targets import target

FILE = ServerSection("127.0.0.1", 20128, has_providers=False)


def test_the_data_directory_of_the_flag_reaches_everybody(tmp_path: Path) -> None:
    assert merged(Flags(data_dir=tmp_path), {"DATA_DIR": "/elsewhere"})["DATA_DIR"] == str(tmp_path)
    assert merged(Flags(), {"DATA_DIR": "/elsewhere"})["DATA_DIR"] == "/elsewhere"
    assert merged(Flags(), {})["DATA_DIR"] == str(Path.home() / ".omniroute")


def test_the_configuration_file_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, data = tmp_path / "here", tmp_path / "data"
    here.mkdir()
    data.mkdir()
    monkeypatch.chdir(here)
    env = {"DATA_DIR": str(data)}
    assert config_file(Flags(), env) is None
    (data / "omniroute.yaml").write_text("")
    assert config_file(Flags(), env) == data / "omniroute.yaml"
    (here / "omniroute.yaml").write_text("")
    assert config_file(Flags(), env) == here / "omniroute.yaml"
    (tmp_path / "env.yaml").write_text("")
    env["OMNIROUTE_CONFIG"] = str(tmp_path / "env.yaml")
    assert config_file(Flags(), env) == tmp_path / "env.yaml"
    (tmp_path / "flag.yaml").write_text("")
    assert config_file(Flags(config=tmp_path / "flag.yaml"), env) == tmp_path / "flag.yaml"


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="there is no configuration file"):
        config_file(Flags(config=tmp_path / "none.yaml"), {})


def test_the_file_says_where_to_listen_and_the_environment_overrides_it(tmp_path: Path) -> None:
    path = tmp_path / "omniroute.yaml"
    path.write_text("server: {host: 0.0.0.0, port: 8080}\n")
    assert server_section(path, {}) == ServerSection("0.0.0.0", 8080, has_providers=False)
    assert server_section(path, {"OMNIROUTE__SERVER__PORT": "9090"}).port == 9090
    assert server_section(None, {}) == FILE
    path.write_text("server: [\n")
    assert server_section(path, {}) == FILE, "auth tells what is wrong with it"


def test_a_file_with_a_provider_needs_no_demo(tmp_path: Path) -> None:
    path = tmp_path / "omniroute.yaml"
    path.write_text(
        "providers:\n  - {id: a, format: openai.chat, base_url: https://a.example/v1,\n"
        "     accounts: [{name: x, api_key: {env: NOT_SET_HERE}}]}\n"
    )
    assert server_section(path, {}).has_providers


def test_flags_come_before_the_environment_and_that_before_the_file() -> None:
    chosen = target("all")
    file = ServerSection("10.0.0.1", 1111, has_providers=True)
    assert listen(chosen, Flags(), {}, file).ports == {"edge": 1111, "dashboard": 1111}
    assert listen(chosen, Flags(), {}, file).host == "10.0.0.1"
    env = {"OMNIROUTE_HTTP_HOST": "10.0.0.2", "OMNIROUTE_HTTP_PORT": "2222"}
    assert listen(chosen, Flags(), env, file).ports == {"edge": 2222, "dashboard": 2222}
    assert listen(chosen, Flags(), env, file).host == "10.0.0.2"
    flags = Flags(host="10.0.0.3", port=3333)
    assert listen(chosen, flags, env, file).ports == {"edge": 3333, "dashboard": 3333}
    assert listen(chosen, flags, env, file).host == "10.0.0.3"


def test_api_port_and_dashboard_port_part_the_listener() -> None:
    env = {"API_PORT": "1", "DASHBOARD_PORT": "2"}
    assert listen(target("all"), Flags(), env, FILE).ports == {"edge": 1, "dashboard": 2}
    assert listen(target("all"), Flags(), {"DASHBOARD_PORT": "2"}, FILE).ports == {"edge": 20128, "dashboard": 2}


def test_separate_processes_have_ports_of_their_own() -> None:
    assert listen(target("edge"), Flags(), {}, FILE).ports == {"edge": 20128}
    assert listen(target("dashboard"), Flags(), {}, FILE).ports == {"dashboard": 20130}
    assert listen(target("router"), Flags(), {}, FILE).ports == {"router": 20151}
    assert listen(target("router"), Flags(port=5), {"OMNIROUTE_GRPC_PORT": "6"}, FILE).grpc_port == 6


def test_beside_gateways_the_dashboard_has_a_port_of_its_own() -> None:
    file = ServerSection("127.0.0.1", 1111, has_providers=True)
    whole = target("all")
    assert listen(whole, Flags(), {}, file, apart=True).ports == {"edge": 1111, "dashboard": 20130}
    assert listen(whole, Flags(port=5), {}, file, apart=True).ports == {"edge": 5, "dashboard": 20130}
    env = {"DASHBOARD_PORT": "6", "OMNIROUTE_HTTP_PORT": "7"}
    assert listen(whole, Flags(), env, file, apart=True).ports == {"edge": 7, "dashboard": 6}


def test_a_supervisor_answers_at_a_port_of_its_own() -> None:
    assert listen(target("gateway"), Flags(), {}, FILE).admin_port == 20156
    assert listen(target("gateway"), Flags(), {"OMNIROUTE_ADMIN_PORT": "0"}, FILE).admin_port == 0
    assert listen(target("gateway"), Flags(admin_port=9), {"OMNIROUTE_ADMIN_PORT": "0"}, FILE).admin_port == 9


def test_what_asks_nobody_for_a_key_stays_on_loopback_unless_the_environment_opens_it() -> None:
    file = ServerSection("0.0.0.0", 1111, has_providers=True)
    found = listen(target("gateway"), Flags(host="0.0.0.0"), {}, file)
    assert (found.host, found.admin_host) == ("0.0.0.0", "127.0.0.1")
    assert listen(target("gateway"), Flags(), {}, file).admin_host == "127.0.0.1"
    assert listen(target("gateway"), Flags(), {"OMNIROUTE_HTTP_HOST": "0.0.0.0"}, FILE).admin_host == "0.0.0.0"


def test_workers_are_as_many_as_asked_for_or_as_there_are_cores() -> None:
    assert worker_count(Flags(), {}) == 0
    assert worker_count(Flags(), {"OMNIROUTE_WORKERS": "3"}) == 3
    assert worker_count(Flags(workers="2"), {"OMNIROUTE_WORKERS": "3"}) == 2
    assert worker_count(Flags(workers="0"), {}) == worker_count(Flags(workers="auto"), {}) == cores() >= 1
    for text in ("many", "-1", "257", "1.5"):
        with pytest.raises(CannotStart, match=r"no number of workers. Give one from 1 to 256; 0 or auto is one a core"):
            worker_count(Flags(workers=text), {})


def test_a_quota_of_the_control_group_counts_as_cores(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    unbounded = cores(tmp_path / "none")
    quota.write_text("max 100000\n")
    assert cores(quota) == unbounded
    quota.write_text("50000 100000\n")
    assert cores(quota) == 1
    quota.write_text("99900000 100000\n")
    assert cores(quota) == unbounded


def test_what_a_supervisor_hands_down_comes_whole() -> None:
    env = {"OMNIROUTE_WORKER": "2", "OMNIROUTE_LISTEN_FD": "7", "OMNIROUTE_ADMIN_FD": "8"}
    assert inherited({}) is None
    assert inherited(env) == Inherited(2, 7, 8)
    with pytest.raises(CannotStart, match="supervisor's to set"):
        inherited({"OMNIROUTE_WORKER": "2"})


@pytest.mark.parametrize("text", ["http", "-1", "65536", "1.5", "١٢"])
def test_what_is_no_port_is_named(text: str) -> None:
    with pytest.raises(CannotStart, match="API_PORT is"):
        listen(target("edge"), Flags(), {"API_PORT": text}, FILE)


def test_a_password_file_completes_a_url(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("a/b@c\n")
    env = {"OMNIROUTE_REDIS_URL": "redis://redis:6379/0", "OMNIROUTE_REDIS_PASSWORD_FILE": str(tmp_path / "p")}
    assert external_url(env, "REDIS") == "redis://:a%2Fb%40c@redis:6379/0"
    env = {"OMNIROUTE_NATS_URL": "nats://omniroute@nats:4222", "OMNIROUTE_NATS_PASSWORD_FILE": str(tmp_path / "p")}
    assert external_url(env, "NATS") == "nats://omniroute:a%2Fb%40c@nats:4222"
    env["OMNIROUTE_NATS_URL"] = "nats://omniroute@n1:4222, nats://omniroute@n2:4222"
    assert external_url(env, "NATS") == "nats://omniroute:a%2Fb%40c@n1:4222,nats://omniroute:a%2Fb%40c@n2:4222"
    assert external_url(env | {"OMNIROUTE_NATS_USER": "edge"}, "NATS") == (
        "nats://edge:a%2Fb%40c@n1:4222,nats://edge:a%2Fb%40c@n2:4222"
    )
    assert external_url({}, "NATS") == ""
    with pytest.raises(CannotStart, match="OMNIROUTE_NATS_USER is set without OMNIROUTE_NATS_PASSWORD_FILE"):
        external_url({"OMNIROUTE_NATS_URL": "nats://nats:4222", "OMNIROUTE_NATS_USER": "router"}, "NATS")
    with pytest.raises(CannotStart, match="cannot read OMNIROUTE_NATS_PASSWORD_FILE"):
        external_url(env | {"OMNIROUTE_NATS_PASSWORD_FILE": str(tmp_path / "none")}, "NATS")
