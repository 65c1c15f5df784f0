"""The tables of ``schema`` in ClickHouse. Nothing is changed in place there: a row is written again with a higher
``version`` and the highest of a key is what there is, or, where it is ``gone``, nothing (ReplacingMergeTree; questions
are asked with ``final``). So writing the same again changes nothing, which ``clickhouse`` builds its transactions on.

A row is not divided into its own and its kind, as columns keep what repeats once by themselves; a request's decision
and tags stand in its row. Rows lie in a partition a day, which retention drops whole.
"""

import msgspec

from omni_analytics.adapters import limit_events, schema
from omni_analytics.domain.rollup import DAY_MS, GRAINS, MEASURES, Cell
from omni_analytics.domain.rows import AttemptRow, RequestRow, parts

# Raise it with a table: each statement below leaves what is there already.
VERSION = 2
# Entries of the journal a partition: older ones are dropped when a new one is begun.
ENTRIES = 100

_WHOLE, _TEXT, _SHARED = "Int64", "String", "LowCardinality(String)"
# Of a row's text what is its own; of all other text there are few that repeat.
_OWN = ("id", "request_id", "apart", "decision")


class Table(msgspec.Struct, frozen=True):
    """``columns`` by name, with their types; ``key`` is what a row is one by. With ``by_day`` rows lie in partitions by
    that column."""

    columns: dict[str, str]
    key: tuple[str, ...]
    by_day: str = ""
    indices: str = ""

    def made(self, name: str) -> str:
        columns = ", ".join(f"{column} {type_}" for column, type_ in self.columns.items())
        parted = f" PARTITION BY intDiv({self.by_day}, {DAY_MS})" if self.by_day else ""
        return (
            f"CREATE TABLE IF NOT EXISTS {name} ({columns}, version UInt64, gone UInt8{self.indices}) "
            f"ENGINE = ReplacingMergeTree(version, gone){parted} ORDER BY ({', '.join(self.key)}) "
            "SETTINGS fsync_after_insert = 1"
        )


def _row(row: type[AttemptRow] | type[RequestRow], extra: dict[str, str], indices: str) -> Table:
    columns = {name: _type(row.__annotations__[name], name) for name in parts(row).all}
    return Table(columns | extra, ("id",), "started_ms", indices)


def _type(kind: type, name: str) -> str:
    return _WHOLE if kind in (int, bool) else _TEXT if name in _OWN else _SHARED


_CELL = {name: _type(kind, name) for name, kind in Cell.__annotations__.items()}
# What a row killed of another day has is that day's, so that nothing that is passed over is missed.
_STARTED = ", INDEX started started_ms TYPE minmax GRANULARITY 1"
_ASKED = ", INDEX asked request_id TYPE bloom_filter(0.001) GRANULARITY 1"
_NUMBERS = ("at_ms", "percent", "used", "most", "tries", "due_ms")

TABLES = {
    "attempt_row": _row(AttemptRow, {}, _STARTED + _ASKED),
    "request_row": _row(RequestRow, {"decision": _TEXT, "tags": f"Array({_SHARED})"}, _STARTED + _ASKED),
    **{f"usage_{grain}": Table(_CELL | dict.fromkeys(MEASURES, _WHOLE), (*_CELL,)) for grain in GRAINS},
    **{
        f"latency_{grain}": Table(_CELL | {"measure": _SHARED, "counts": _TEXT}, (*_CELL, "measure"))
        for grain in GRAINS
    },
    "limit_event": Table(
        {name: _WHOLE if name in _NUMBERS else _TEXT for name in limit_events.COLUMNS.split(", ")}, ("id",)
    ),
    "limit_notice": Table(
        {name: _WHOLE if name in _NUMBERS else _TEXT for name in limit_events.NOTICE_COLUMNS.split(", ")},
        ("id", "hook"),
    ),
    "meta": Table({"name": _TEXT, "value": _WHOLE}, ("name",)),
}

# An entry is there once, whoever writes it: of several writers of one number the first one's stands.
_JOURNAL = (
    "CREATE TABLE IF NOT EXISTS journal (number UInt64, writer String, pieces UInt32, body String CODEC(ZSTD)) "
    f"ENGINE = MergeTree PARTITION BY intDiv(number, {ENTRIES}) ORDER BY number "
    "SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1",
    "CREATE TABLE IF NOT EXISTS journal_piece (number UInt64, writer String, piece UInt32, body String CODEC(ZSTD)) "
    f"ENGINE = MergeTree PARTITION BY intDiv(number, {ENTRIES}) ORDER BY (number, writer, piece) "
    "SETTINGS fsync_after_insert = 1",
)


def _fact() -> str:
    """``usage_fact`` as SQLite has it, but for the division, which has a rest here."""
    return schema.MIGRATIONS[5][-1].replace("CREATE VIEW", "CREATE OR REPLACE VIEW").replace("/ 100)", "DIV 100)")


def _view(name: str, columns: str, row: str, where: str = "") -> str:
    return f"CREATE OR REPLACE VIEW {name} AS SELECT {columns} FROM {row} FINAL{where}"  # noqa: S608 - our own names


STATEMENTS = (
    *(table.made(name) for name, table in TABLES.items()),
    *_JOURNAL,
    _view("attempt_event", ", ".join(parts(AttemptRow).all), "attempt_row"),
    _view("request_event", ", ".join(parts(RequestRow).all), "request_row"),
    _view("decision", "id, decision AS document", "request_row", " WHERE decision <> ''"),
    _view("request_tag", "id, arrayJoin(tags) AS tag", "request_row"),
    _fact(),
)
