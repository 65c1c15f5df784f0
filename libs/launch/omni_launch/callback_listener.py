"""A listener on 127.0.0.1 for the one address that a provider's page comes back to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from omni_launch.problems import CannotStart

_DONE = b"<!doctype html><meta charset=utf-8><title>OmniRoute</title><p>Close this page and go back to the terminal."
_MOST = 64 * 1024


class Listener:
    """``port`` is where it listens. What comes without a code or an error is none of ours."""

    def __init__(self, server: HTTPServer) -> None:
        self.port = server.server_port
        self._come = threading.Event()
        self._said = ""

    def take(self, path: str) -> bool:
        query = parse_qs(urlsplit(path).query)
        if len(path) > _MOST or "state" not in query or not query.keys() & {"code", "error"}:
            return False
        if not self._come.is_set():
            self._said = f"http://localhost:{self.port}{path}"
            self._come.set()
        return True

    def wait(self, seconds: float) -> str:
        """The address, or "" after so long."""
        self._come.wait(max(0.0, seconds))
        return self._said


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    """At ``port``, or any where it is 0. Raises ``CannotStart`` where somebody else has it."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            ours = listener.take(self.path)
            self.send_response(200 if ours else 404)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(_DONE) if ours else 0))
            self.send_header("cache-control", "no-store")
            self.end_headers()
            self.wfile.write(_DONE if ours else b"")

        def log_message(self, format: str, *args: object) -> None:
            """The address holds a code."""

    try:
        server = HTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise CannotStart(
            f"port {port} of this machine, which the provider goes back to, cannot be had: {error.strerror}",
            "End what has it, or log in with --manual",
        ) from None
    listener = Listener(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
