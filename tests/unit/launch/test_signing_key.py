"""``omniroute signing-key``: a pair, who may read which half, and what is refused."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from omni_core.signatures import SigningKey
from omni_launch.cli import cli

from tests.support.signed import signs_what_the_others_know


def command(*arguments: str | Path, **env: str) -> Result:
    return CliRunner().invoke(cli, ["signing-key", *map(str, arguments)], env=env)


def test_it_makes_a_pair_of_which_auths_half_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "signing"
    made = command("create", "--out", folder)
    assert made.exit_code == 0, made.output
    private, public = folder / "config_signing_key", folder / "config_public_keys"
    signs_what_the_others_know({path.name: path.read_text() for path in (private, public)})
    assert [stat.S_IMODE(path.stat().st_mode) for path in (private, public)] == [0o600, 0o644]
    assert "config_signing_key is for auth alone" in made.stderr
    assert private.read_text().split("\n")[1] not in made.output


def test_a_pair_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    assert command("create", "--data-dir", tmp_path).exit_code == 0
    kept = {path: path.read_bytes() for path in (tmp_path / "signing").iterdir()}
    again = command("create", "--data-dir", tmp_path)
    assert again.exit_code == 1
    assert "is there already, and left as it is. Choose another folder with --out" in again.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "signing").iterdir()} == kept


def test_show_gives_the_public_half_of_what_auth_would_sign_with(tmp_path: Path) -> None:
    key, file = SigningKey.new(), tmp_path / "key"
    file.write_bytes(key.pem())
    shown = command("show", "--data-dir", tmp_path, OMNIROUTE_CONFIG_SIGNING_KEY_FILE=str(file))
    assert (shown.stdout, shown.exit_code) == (key.public_pem().decode(), 0)
    assert key.id in shown.stderr
    shown = command("show", "--data-dir", tmp_path, OMNIROUTE_SERVICE_TOKEN="one")
    assert shown.stdout == SigningKey.from_token("one").public_pem().decode()


@pytest.mark.parametrize("target", ["auth", "edge", "router", "quota"])
def test_no_service_starts_with_a_key_that_is_none(target: str, tmp_path: Path) -> None:
    variable = "OMNIROUTE_CONFIG_SIGNING_KEY" if target == "auth" else "OMNIROUTE_CONFIG_PUBLIC_KEYS"
    env = {
        variable: "nothing", "DATA_DIR": str(tmp_path), "OMNIROUTE_NATS_URL": "nats://127.0.0.1:1",
        "OMNIROUTE_REDIS_URL": "redis://127.0.0.1:1/0", "OMNIROUTE_GRPC_PORT": "0",
    }  # fmt: skip
    ended = CliRunner().invoke(cli, ["run", target, "--port", "0"], env=env)
    assert ended.exit_code == 1
    assert f"no signed configurations: {variable}" in ended.stderr
    assert "'omniroute signing-key' makes and shows what is needed" in ended.stderr
