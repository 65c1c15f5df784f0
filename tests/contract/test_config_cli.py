"""``omniroute apply``, ``diff``, ``export`` and ``import``: through a running gateway's API, and on the store alone."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from click.testing import CliRunner, Result
from omni_auth.adapters.offline import open_audit
from omni_launch.cli import cli

from tests.support.stack import Stack, running

LIVE = """\
providers:
  - {id: acme, format: openai.chat, base_url: https://acme.example.com/v1,
     accounts: [{name: first, api_key: {value: stands-in-the-file}}]}
"""
FILE = """\
providers:
  - {id: beta, format: openai.chat, base_url: https://beta.example.com/v1,
     accounts: [{name: main, api_key: {value: to-be-sealed-1}}]}
combos: [{name: both, targets: [acme/m, beta/m]}]
prices: [{provider: beta, model: m, input: 1.25, output: 2}]
"""
MADE = ["+ created providers/beta", "+ created accounts/beta/main", "+ created combos/both", "+ created prices/beta/m"]


class Desk:
    """Somebody at a command line, in the folder of the gateway's own file. ``file`` is theirs."""

    def __init__(self, data_dir: Path, config: Path, folder: Path, *, is_running: bool) -> None:
        self.data_dir, self.config, self.is_running = data_dir, config, is_running
        self.file = folder / "gateway.yaml"
        self.file.write_text(FILE)

    def run(self, *arguments: str | Path, stdin: str | bytes | None = None, **env: str) -> Result:
        given = {"DATA_DIR": str(self.data_dir), "OMNIROUTE_CONFIG": str(self.config), **env}
        return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=stdin, env=given)

    def lines(self, *arguments: str | Path) -> list[str]:
        """What is said on stdout by a command that goes well, but the sum at its end."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()[:-1]

    def export(self) -> str:
        return self.run("export").stdout


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for all tests here; each finds it as its own file has it."""
    with running("all", tmp_path_factory.mktemp("gateway"), LIVE, {}) as stack:
        yield stack


@pytest.fixture(params=["a running gateway", "the store alone"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    if request.param == "the store alone":
        config = tmp_path / "omniroute.yaml"
        config.write_text(LIVE)
        yield Desk(tmp_path / "data", config, tmp_path, is_running=False)
        return
    stack = request.getfixturevalue("gateway")
    yield Desk(stack.data_dir, stack.data_dir.parent / "omniroute.yaml", tmp_path, is_running=True)
    empty_store(stack)


def empty_store(stack: Stack) -> None:
    """Have one file own all there is, and then say nothing."""
    headers = {"authorization": f"Bearer {key(stack)}", "content-type": "application/yaml"}
    with httpx.Client(base_url=stack.dashboard, headers=headers, timeout=30) as client:
        for text in (client.get("/api/config/export").text, "{}"):
            path = "/api/config/apply?source=nothing.yaml&take_over=true"
            client.post(path, content=text).raise_for_status()


def key(stack: Stack) -> str:
    return (stack.data_dir / "local.key").read_text().strip()


def test_a_file_is_applied_with_a_line_for_each_object_and_a_dry_run_says_the_same(desk: Desk) -> None:
    before = desk.export()
    assert desk.lines("apply", desk.file, "--dry-run") == MADE
    assert desk.export() == before
    assert desk.lines("apply", desk.file) == MADE
    assert desk.lines("apply", desk.file) == ["= unchanged 4"]
    last = desk.run("apply", desk.file).stdout.splitlines()[-1]
    assert re.match(r"0 created, 0 updated, 0 deleted, 4 unchanged: .*revision.* [0-9]+", last)


def test_what_a_file_says_no_more_is_deleted_and_what_it_says_otherwise_shown_field_by_field(desk: Desk) -> None:
    desk.lines("apply", desk.file)
    desk.file.write_text(re.sub("combos.*\n", "", FILE).replace("1.25", "3"))
    changed = ["~ updated prices/beta/m", "    input: 1.25 → 3", "- deleted combos/both"]
    assert desk.lines("apply", desk.file) == [*changed, "= unchanged 2"]
    assert [provider["id"] for provider in yaml.safe_load(desk.export())["providers"]] == ["acme", "beta"]


def test_what_is_wrong_is_told_by_file_line_and_key_and_nothing_is_done(desk: Desk) -> None:
    before = desk.export()
    for old, new, told in (
        ("format: openai", "formt: openai", ":2: providers[0].formt: unknown key; did you mean 'format'?"),
        ("acme/m", "nobody/m", ":4: combos[0].targets[0]: there is no provider 'nobody'"),
        ("{value: to-be-sealed-1}", "{env: NO_SUCH}", ":3: providers[0].accounts[0].api_key: the environment variable"),
        ("combos:", "combos: [", ":5: not YAML:"),
    ):
        desk.file.write_text(FILE.replace(old, new))
        result = desk.run("apply", desk.file)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"{desk.file}{told}" in result.stderr
        assert "to-be-sealed-1" not in result.stderr
    assert desk.export() == before


def test_a_difference_is_exit_code_1_none_is_0_and_a_fault_2(desk: Desk) -> None:
    different = desk.run("diff", desk.file)
    assert (different.exit_code, different.stdout.splitlines()) == (1, MADE)
    desk.lines("apply", desk.file)
    same = desk.run("diff", desk.file)
    assert (same.exit_code, same.output) == (0, "")
    assert desk.run("diff", desk.file.with_name("nothing.yaml")).exit_code == 2
    desk.file.write_text("combos: [")
    assert desk.run("diff", desk.file).exit_code == 2


def test_an_export_is_no_difference_and_applies_with_what_is_sealed_kept(desk: Desk) -> None:
    desk.lines("apply", desk.file)
    out = desk.file.with_name("now.yaml")
    assert desk.run("export", "-o", out).exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    text = out.read_text()
    assert text == desk.export()
    assert text.count("vault: keep") == 2
    assert "to-be-sealed-1" not in text
    assert "stands-in-the-file" not in text
    compared = desk.run("diff", out)
    assert (compared.exit_code, compared.stdout) == (0, "")
    assert "managed elsewhere" in compared.stderr
    taken = desk.lines("apply", out, "--take-over")
    assert len(taken) == 6
    assert all(line.startswith("> taken over ") for line in taken)
    assert desk.run("diff", out).output == ""
    assert desk.lines("apply", out) == ["= unchanged 6"]
    assert sorted(map(str, yaml.safe_load(desk.export())["providers"])) == sorted(
        map(str, yaml.safe_load(text)["providers"])
    )


NAMES = """\
providers:
  - {id: beta, aka: [be, b], format: openai.chat, base_url: https://beta.example.com/v1,
     accounts: [{name: main, api_key: {value: to-be-sealed-1}}], models: [{id: m}, {id: vendor/n}]}
combos:
  - {name: outer, targets: [acme/m, {model: inner, weight: 2}]}
  - {name: inner, strategy: random, targets: [be/*]}
aliases: [{name: 'old/*', target: 'be/*'}, {name: 'claude-?', target: outer}, {name: fast, target: vendor/n}]
"""


def test_names_that_stand_for_others_are_applied_exported_and_found_unchanged(desk: Desk) -> None:
    desk.file.write_text(NAMES)
    made = ["providers/beta", "accounts/beta/main", "combos/outer", "combos/inner"]
    made += ["aliases/old/*", "aliases/claude-?", "aliases/fast"]
    assert desk.lines("apply", desk.file) == [f"+ created {each}" for each in made]
    assert desk.run("diff", desk.file).exit_code == 0
    out = desk.file.with_name("now.yaml")
    assert desk.run("export", "-o", out).exit_code == 0
    assert desk.run("diff", out).exit_code == 0
    assert all(line.startswith("> taken over ") for line in desk.lines("apply", out, "--take-over"))
    assert desk.run("diff", out).output == ""
    desk.file.write_text(NAMES.replace("[be/*]", "[outer]"))
    result = desk.run("apply", desk.file, "--take-over")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{desk.file}:5: combos[0].targets[1]: goes round in a circle: outer → inner → outer" in result.stderr


def test_a_file_that_is_there_is_not_replaced_unasked(desk: Desk) -> None:
    result = desk.run("export", "-o", desk.file)
    assert result.exit_code == 2
    assert "is there already, and left as it is. Choose another file, or add --force" in result.stderr
    assert desk.file.read_text() == FILE
    assert desk.run("export", "-o", desk.file, "--force").exit_code == 0
    assert "acme" in desk.file.read_text()


def test_what_another_manages_is_refused_with_a_hint_until_it_is_taken_over(desk: Desk) -> None:
    other = desk.file.with_name("other.yaml")
    other.write_text(FILE.replace("1.25", "3"))
    desk.lines("apply", other)
    result = desk.run("apply", desk.file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"providers/beta is managed by {other}" in result.stderr
    assert "→ add --take-over" in result.stderr
    assert desk.lines("apply", desk.file, "--source", str(other)) == [
        "~ updated prices/beta/m", "    input: 3 → 1.25", "= unchanged 3",
    ]  # fmt: skip
    assert "> taken over providers/beta" in desk.lines("apply", desk.file, "--take-over")


def test_the_keys_of_a_file_are_made_and_changed_and_never_shown(desk: Desk) -> None:
    name = desk.file.parent.name  # of a key, which stays behind in the gateway that all tests share
    secret = f"or-{name}-0123456789"
    keys = f"keys: [{{name: {name}, secret: {{value: {secret}}}, limits: {{requests_per_minute: 600}}}}]\n"
    desk.file.write_text(FILE + keys)
    assert desk.lines("apply", desk.file) == [*MADE, f"+ created keys/{name}"]
    assert desk.lines("apply", desk.file) == ["= unchanged 5"]
    assert desk.run("diff", desk.file).output == ""
    desk.file.write_text(FILE + keys.replace("600", "60").replace(secret, f"{secret}-more"))
    changed = [
        f"~ updated keys/{name}", "    limits.requests_per_minute: 600 → 60",
        "    secret: the present one → another one",
    ]  # fmt: skip
    compared = desk.run("diff", desk.file)
    assert (compared.exit_code, compared.output.splitlines()) == (1, changed)
    assert desk.lines("apply", desk.file) == [*changed, "= unchanged 4"]
    assert "keys" not in yaml.safe_load(desk.export())
    listed = desk.run("keys", "list").stdout
    assert name in listed
    assert secret not in listed
    desk.file.write_text(FILE)
    assert desk.lines("apply", desk.file) == ["= unchanged 4"]
    assert name in desk.run("keys", "list").stdout


def test_the_file_of_the_readme_is_applied_as_it_is(tmp_path: Path) -> None:
    text = Path(__file__).parents[2].joinpath("README.md").read_text()
    (told,) = re.findall(r"```yaml\n(server:.*?)```", text, re.DOTALL)
    desk = Desk(tmp_path / "data", tmp_path / "none.yaml", tmp_path, is_running=False)
    desk.config.write_text("{}")
    desk.file.write_text(told)
    env = {name: f"or-{name}-0123456789" for name in re.findall(r"env: ([A-Z_]+)", told)}
    result = desk.run("apply", desk.file, **env)
    assert result.exit_code == 0, result.output
    assert "+ created keys/ci" in result.stdout.splitlines()
    assert desk.run("diff", desk.file, **env).output == ""


def test_a_file_is_read_from_standard_input_with_its_secret_files_where_one_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = desk.file.parent / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.joinpath("beta.key").write_text("from-a-file-1\n")
    text = FILE.replace("{value: to-be-sealed-1}", "{file: beta.key}")
    compared = desk.run("diff", "-", stdin=text)
    assert compared.stdout.splitlines() == MADE, compared.output
    applied = desk.run("apply", "-", stdin=text)
    assert (applied.exit_code, applied.stdout.splitlines()[:-1]) == (0, MADE), applied.output
    assert desk.run("diff", "-", stdin=text).output == ""
    assert str(folder / "beta.key") in desk.export()
    desk.file.write_text(text.replace("beta.key", str(folder / "beta.key")))
    assert "combos/both is managed by stdin" in desk.run("apply", desk.file).stderr
    assert "> taken over combos/both" in desk.run("import", "-", "--take-over", stdin=text).stdout
    for wrong, told in (
        (text.replace("acme/m", "nobody/m"), "stdin:4: combos[0].targets[0]: there is no provider 'nobody'"),
        (text.replace("beta.key", "none.key"), "stdin:3: providers[0].accounts[0].api_key: the file"),
        ("combos: [", "stdin:1: not YAML"),
        (b"combos: []\n# \xff", "stdin:2: not UTF-8 text"),
    ):
        result = desk.run("apply", "-", "--take-over", stdin=wrong)
        assert (result.exit_code, result.stdout) == (2, "")
        assert told in result.stderr


def test_an_import_deletes_nothing_and_gives_all_into_the_apis_hands(desk: Desk) -> None:
    assert desk.lines("import", desk.file, "--dry-run") == MADE
    assert desk.lines("import", desk.file) == MADE
    desk.file.write_text("aliases: [{name: fast, target: beta/m}]")
    assert desk.lines("import", desk.file) == ["+ created aliases/fast"]
    desk.file.write_text(FILE)
    assert "providers/beta is managed by the API" in desk.run("apply", desk.file).stderr


def test_the_audit_log_says_whether_a_gateways_key_did_it_or_who_ran_the_command(desk: Desk) -> None:
    desk.lines("apply", desk.file)
    with open_audit(desk.data_dir) as log:
        actor = log.newest(1)[0].actor
    assert actor.endswith("(local)") if desk.is_running else actor == f"cli:uid-{os.getuid()}"


def test_a_gateway_elsewhere_is_reached_by_its_address_and_a_key_that_is_not_on_the_command_line(
    gateway: Stack, tmp_path: Path
) -> None:
    desk = Desk(tmp_path / "none", tmp_path / "none.yaml", tmp_path, is_running=True)
    held = tmp_path / "admin.key"
    held.write_text(key(gateway) + "\n")
    url = gateway.dashboard
    for arguments, env in (
        (("--url", url, "--key-file", str(held)), {}),
        (("--url", f"{url}/v1/"), {"OMNIROUTE_MANAGEMENT_KEY": key(gateway)}),
        ((), {"OMNIROUTE_MANAGEMENT_URL": url, "OMNIROUTE_MANAGEMENT_KEY_FILE": str(held)}),
    ):
        result = desk.run("export", *arguments, **env)
        assert (result.exit_code, "id: acme" in result.stdout) == (0, True), result.output
    assert not desk.data_dir.exists()
    for arguments, env, told in (
        (("--url", url), {}, "there is no key for"),
        (("--url", url, "--key-file", str(tmp_path / "lost")), {}, "there is no key in"),
        (("--url", url), {"OMNIROUTE_MANAGEMENT_KEY": "or-wrong-0123456789"}, "The API key is wrong"),
        (("--url", "http://127.0.0.1:1", "--key-file", str(held)), {}, "cannot reach http://127.0.0.1:1"),
        (("--url", "nonsense", "--key-file", str(held)), {}, "is no URL of a management API"),
    ):
        result = desk.run("export", *arguments, **env)
        assert result.exit_code == 2
        assert told in result.stderr
        assert "or-wrong" not in result.stderr
        assert key(gateway) not in result.stderr
