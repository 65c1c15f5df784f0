"""ClickHouse for tests: the engine of chdb (extra ``chdb``) in a process of its own, behind as much of ClickHouse's
HTTP interface as its client speaks. It can be killed in the middle of anything, and comes back with what is on disk.

    python -m tests.support.clickhouse DIR       serves the databases in DIR; prints its port
"""

import itertools
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

THERE = find_spec("chdb") is not None
# What is said beside the settings of a question.
_OWN = (
    "query", "database", "client_protocol_version", "enable_http_compression", "query_id", "session_id", "client_name",
    "wait_end_of_query",
)  # fmt: skip


class ClickhouseServer:
    """One that listens on the same port whenever it is started."""

    scheme = "clickhouse"

    def __init__(self, place: Path) -> None:
        self._place = place
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.support.clickhouse", str(self._place), str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        if self._process is not None:
            with self._process:
                self._process.kill()

    def database(self) -> str:
        """The URL of a new one."""
        import clickhouse_connect  # which takes long, and few tests need

        name = f"usage_{next(self._numbers)}"
        with clickhouse_connect.get_client(host="127.0.0.1", port=self.port) as client:
            client.command(f"CREATE DATABASE {name}")
        return f"clickhouse://127.0.0.1:{self.port}/{name}"


@contextmanager
def clickhouse_server() -> Iterator[ClickhouseServer]:
    with tempfile.TemporaryDirectory(prefix="clickhouse-") as place:
        server = ClickhouseServer(Path(place))
        server.start()
        try:
            yield server
        finally:
            server.kill()


class Engine:
    """chdb answers one question at a time."""

    def __init__(self, place: str) -> None:
        from chdb.session import Session

        self._session: Any = Session(place)
        self._lock = threading.Lock()
        self._set: dict[str, str] = {}

    def answer(self, sql: str, database: str, settings: dict[str, str], fmt: str) -> bytes:
        with self._lock:
            self._session.query(f"USE {database or 'default'}")
            for name in self._set.keys() - settings.keys():
                self._session.query(f"SET {name} = DEFAULT")
            for name, value in settings.items():
                if self._set.get(name) != value:
                    self._session.query(f"SET {name} = '{value}'")
            self._set = settings
            found: bytes = self._session.query(sql, fmt).bytes()
            return found


class Handler(BaseHTTPRequestHandler):
    engine: Engine
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        given = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        sql = "\n".join(filter(None, (given.get("query", ""), body)))
        settings = {name: value for name, value in given.items() if name not in _OWN}
        try:
            status, answer = 200, self.engine.answer(sql, given.get("database", ""), settings, "TabSeparated")
        except Exception as error:  # noqa: BLE001 - whatever it is, its client hears of it
            status, answer = 500, str(error).encode()
        self.send_response(status)
        if status == 500 and (code := str(error_code(answer))):
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815 - as above

    def log_message(self, *_: Any) -> None:
        pass


def error_code(told: bytes) -> int:
    code = told.partition(b"Code: ")[2].partition(b".")[0]
    return int(code) if code.isdigit() else 0


def main() -> None:
    Handler.engine = Engine(sys.argv[1])
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
