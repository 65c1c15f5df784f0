"""A configuration from standard input: its secret files are where whoever pipes it is."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omni_launch.config_input import with_folder

HERE = Path("/here")


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("keys: [{secret: {file: a.key}}]", 'keys: [{secret: {file: "/here/a.key"}}]'),
        ("api_key:\n  file: 'a b'   # mine\nmore: 1", 'api_key:\n  file: "/here/a b"   # mine\nmore: 1'),
        ("api_key: {file: ../a}", 'api_key: {file: "/here/../a"}'),
        ("secret: {file: /there/a.key}", 'secret: {file: "/there/a.key"}'),
        ("secret: {file: &it a}\nother: *it", 'secret: {file: &it "/here/a"}\nother: *it'),
        ("secret:\n  file: |\n    a.key\nmore: 1", 'secret:\n  file: "/here/a.key"\n\nmore: 1'),
        ("x: &x {secret: {file: ä}}\ny: *x", 'x: &x {secret: {file: "/here/ä"}}\ny: *x'),
        ("secret: {env: file}", "secret: {env: file}"),
        ("secret: {file: }", "secret: {file: }"),
        ("file: a.key", "file: a.key"),
        ("secret: [", "secret: ["),
        ("", ""),
    ],
)
def test_only_the_names_of_secret_files_are_others(text: str, then: str) -> None:
    assert with_folder(text, HERE) == then


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=12)


@given(st.lists(names, max_size=4), st.booleans())
def test_every_other_line_and_word_stays(files: list[str], flow: bool) -> None:
    tree = {"keys": [{"name": f"k{i}", "secret": {"file": file}} for i, file in enumerate(files)], "end": "file: x"}
    text = yaml.safe_dump(tree, allow_unicode=True, default_flow_style=flow, width=1_000, sort_keys=False)
    moved = with_folder(text, HERE)
    assert moved.count("\n") == text.count("\n")
    whole = {**tree, "keys": [{**key, "secret": {"file": str(HERE / key["secret"]["file"])}} for key in tree["keys"]]}
    assert yaml.safe_load(moved) == whole
