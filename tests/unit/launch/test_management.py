"""How a command finds the management API, and what it says of a plan."""

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omni_core.ports.configuration import APPLY_TIMEOUT, Applied, ObjectChange
from omni_launch.management import Remote
from omni_launch.notice import NAME, Notice, answering
from omni_launch.plan_lines import differences, fields, plan, summary
from omni_launch.problems import CannotStart


def test_an_address_is_believed_for_as_long_as_somebody_answers_there(tmp_path: Path) -> None:
    assert answering(tmp_path) == ""
    notice = Notice(tmp_path)
    notice.put("http://127.0.0.1:9")
    assert answering(tmp_path) == "http://127.0.0.1:9"
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    second = Notice(tmp_path)
    second.put("http://127.0.0.1:10")
    second.take_down()
    assert answering(tmp_path) == "http://127.0.0.1:9"
    notice.take_down()
    assert answering(tmp_path) == ""


def test_an_address_that_was_left_behind_is_not_believed(tmp_path: Path) -> None:
    notice = Notice(tmp_path)
    notice.put("http://127.0.0.1:9")
    assert notice._fd is not None
    os.close(notice._fd)  # as when the process is killed
    assert (tmp_path / NAME).read_text() == "http://127.0.0.1:9\n"
    assert answering(tmp_path) == ""


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[Any]]]:
    """A server that answers ``/api/config/export`` with a way to itself, and all else with a page; what it was sent."""
    seen: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers["authorization"]))
            self.send_response(302 if "export" in self.path else 200)
            self.send_header("location", "/elsewhere")
            self.end_headers()
            self.wfile.write(b"<html>")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
        server.shutdown()
        thread.join()


def test_a_key_is_not_sent_on_to_where_an_answer_points(elsewhere: tuple[str, list[Any]]) -> None:
    url, seen = elsewhere
    with pytest.raises(CannotStart, match="answers 302, and not as a management API does"):
        Remote(url, "or-key-0123456789").export()
    assert seen == [("/api/config/export", "Bearer or-key-0123456789")]


def test_a_file_that_is_applied_is_waited_for_longer_than_auth_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    remote, waits = Remote("http://127.0.0.1:9", "k"), []

    def opened(request: object, timeout: float) -> None:
        waits.append(timeout)
        raise OSError("not there")

    monkeypatch.setattr(remote._opener, "open", opened)
    for call in (
        remote.export,
        lambda: remote.apply("{}", "a.yaml", mode="apply", dry_run=False, take_over=False),
    ):
        with pytest.raises(CannotStart):
            call()
    assert waits[0] < APPLY_TIMEOUT < waits[1]


def test_what_is_no_management_api_is_told_as_such(elsewhere: tuple[str, list[Any]]) -> None:
    with pytest.raises(CannotStart, match="not as a management API does"):
        Remote(elsewhere[0], "k").apply("{}", "a.yaml", mode="apply", dry_run=False, take_over=False)


@pytest.mark.parametrize("url", ["", "127.0.0.1:20128", "ftp://a", "file:///etc/passwd", "http://u:p@host", "http://"])
def test_what_is_no_address_is_refused_before_a_key_goes_anywhere(url: str) -> None:
    with pytest.raises(CannotStart):
        Remote(url, "k")


def change(action: str, name: str, before: Any = None, after: Any = None) -> ObjectChange:
    texts = (msgspec.json.encode(one) if one is not None else b"" for one in (before, after))
    return ObjectChange(action, "combos", name, *texts)


def test_a_plan_has_a_line_for_each_object_and_one_for_each_field_that_is_another() -> None:
    before = {"name": "b", "targets": ["a/m", "b/m"], "rules": {"sanitize": "on"}}
    after = {"name": "b", "targets": ["a/m", "c/m", "d/m"], "rules": {}, "strategy": "priority"}
    changes = (
        change("create", "a", None, {"name": "a"}),
        change("update", "b", before, after),
        change("delete", "c", {"name": "c"}),
        change("adopt", "d", {"name": "d"}, {"name": "d"}),
    )
    assert list(plan(changes)) == [
        "+ created combos/a",
        "~ updated combos/b",
        "    targets[1]: b/m → c/m",
        "    targets[2]: nothing → d/m",
        "    rules.sanitize: on → nothing",
        "    strategy: nothing → priority",
        "- deleted combos/c",
        "> taken over combos/d",
    ]
    applied = Applied(changes, 3, (), 7)
    assert summary(applied) == "1 created, 1 updated, 1 deleted, 1 taken over, 7 unchanged"
    assert [one.name for one in differences(applied)] == ["a", "b", "c"]


def test_no_value_breaks_a_line_or_fills_a_screen() -> None:
    shown = list(plan([change("update", "b", {"x": "a\nb"}, {"x": "c" * 500})]))
    assert shown[1].startswith('    x: "a\\nb" → ccc')
    assert len(shown[1]) < 120


def test_equal_documents_have_no_fields_to_show() -> None:
    assert list(fields({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]})) == []
