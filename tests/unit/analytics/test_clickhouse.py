"""What of ClickHouse can be told without it: how values are written, which tables there are, and where it is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_analytics.adapters.clickhouse import ClickhouseDatabase
from omni_analytics.adapters.clickhouse_literals import literal
from omni_analytics.adapters.copying import AT_THE_END
from omni_analytics.adapters.location import PASSWORD_FILE, URL, usage_database
from omni_analytics.adapters.schema_clickhouse import STATEMENTS, TABLES
from omni_analytics.domain.rows import AttemptRow, RequestRow, parts
from omni_wire.errors import DependencyUnavailable


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a'b\\c\n\0", "'a\\'b\\\\c\\n\\0'"), (-(2**63), "-9223372036854775808"), (True, "1"),
        (b"a'\\\xff", "'a\\x27\\x5c\\xff'"), (("x", "y"), "['x', 'y']"), ([], "(NULL)"), (["x"], "('x')"),
        ([(1, "x"), (2, "y")], "((1, 'x'), (2, 'y'))"),
    ],
)  # fmt: skip
def test_values_are_written_as_they_are_read(value: object, written: str) -> None:
    assert literal(value) == written


@given(text=st.text(), data=st.binary())
def test_no_text_ends_before_its_end(text: str, data: bytes) -> None:
    for found in (literal(text), literal(data)):
        inside, escaped = found[1:-1], False
        for char in inside:
            assert escaped or char != "'"
            escaped = char == "\\" and not escaped
        assert not escaped


def test_what_has_no_place_in_a_table_is_refused() -> None:
    with pytest.raises(OverflowError):
        literal(2**63)
    with pytest.raises(TypeError):
        literal(1.5)


def test_it_has_the_tables_and_columns_of_the_others() -> None:
    rows = {"attempt_row": parts(AttemptRow).all, "request_row": (*parts(RequestRow).all, "decision", "tags")}
    wanted = rows | {name: tuple(columns.split(", ")) for name, columns in AT_THE_END.items()}
    assert {name: sorted(table.columns) for name, table in TABLES.items()} == {
        name: sorted(columns) for name, columns in wanted.items()
    }
    for name, table in TABLES.items():
        assert tuple(table.columns)[: len(table.key)] == table.key, name
    assert sum("CREATE OR REPLACE VIEW" in statement for statement in STATEMENTS) == 5


def test_where_it_is_is_told_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    env = {URL: "clickhouse://omniroute:other@db:8123/usage", PASSWORD_FILE: str(tmp_path / "password")}
    database = usage_database(tmp_path, env)
    assert isinstance(database, ClickhouseDatabase)
    assert database.shown == "clickhouse://db:8123/usage"
    assert not database.is_open
    assert "hunter2" not in repr(vars(database))
    with pytest.raises(DependencyUnavailable, match=r"give postgresql://.* or clickhouse://user@host:8123/name"):
        usage_database(tmp_path, {URL: "mysql://db/usage"})
