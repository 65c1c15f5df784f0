"""Rows of usage as a Parquet file, written as they come: no more than a row group is in memory."""

import io
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from omni_wire.errors import InvalidRequest

from omni_dashboard.usage.exporting import DECIMAL, Row

# Rows a group.
GROUP = 5_000
# A cost in USD is exact to the nano-USD.
_PLACES = 9


class ParquetWriter:
    """Satisfies ``exporting.Writer``. ``columns`` are the names of all, and what they hold. Raises ``InvalidRequest``
    where the library is missing."""

    def __init__(self, columns: Mapping[str, type]) -> None:
        try:
            import pyarrow as arrow
            from pyarrow import parquet
        except ImportError as error:
            told = "Parquet needs its library where the dashboard runs: pip install 'omniroute[parquet]'"
            raise InvalidRequest(told, param="format") from error
        kinds = {int: arrow.int64(), bool: arrow.bool_(), str: arrow.string(), DECIMAL: arrow.decimal128(38, _PLACES)}
        self._schema = arrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
        self._decimals = [name for name, kind in columns.items() if kind is DECIMAL]
        self._table = arrow.Table.from_pylist
        self._out = _Out()
        self._writer: Any = parquet.ParquetWriter(
            arrow.PythonFile(self._out, mode="w"), self._schema, compression="zstd"
        )
        self._rows: list[dict[str, Any]] = []

    def add(self, rows: Iterable[Row]) -> bytes:
        for row in rows:
            self._rows.append({**row, **{name: Decimal(str(row[name])) for name in self._decimals}})
            if len(self._rows) == GROUP:
                self._write()
        return self._out.taken()

    def end(self) -> bytes:
        if self._rows:
            self._write()
        self._writer.close()
        return self._out.taken()

    def _write(self) -> None:
        self._writer.write_table(self._table(self._rows, schema=self._schema))
        self._rows = []


class _Out(io.RawIOBase):
    """What was written and not taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
