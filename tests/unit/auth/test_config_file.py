"""The file as it is on disk: what is told of it holds no secret."""

from pathlib import Path

from omni_auth.adapters.config_file import ConfigFile, check_file

PASTED = "sk-live-PLAINSECRET123456"


def test_a_key_pasted_where_its_variable_belongs_is_not_told(tmp_path: Path) -> None:
    file = tmp_path / "omniroute.yaml"
    file.write_text(
        "providers:\n"
        "  - {id: acme, format: openai.chat, base_url: 'https://a.example/v1',"
        f" accounts: [{{name: a, api_key: {{env: {PASTED}}}}}]}}\n"
        f"  - {{{PASTED}: 1}}\n"
    )
    told = check_file(file, {}).problems
    assert any(":2: providers[0].accounts[0].api_key" in line for line in told), told
    assert PASTED not in repr((told, ConfigFile(file, {}).read().problems))
