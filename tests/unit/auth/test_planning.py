"""What applying a file does, decided for however many objects it says."""

import itertools
from typing import Any

import pytest
from omni_auth.domain import objects, planning
from omni_auth.domain.document import Tree
from omni_auth.domain.objects import Held
from omni_auth.domain.planning import Writer


def tree(size: int) -> Tree:
    """Two providers with as many accounts, prices and combos."""
    accounts: list[Tree] = [{"name": f"a{i}", "api_key": {"env": "KEY"}} for i in range(size)]
    return {
        "providers": [{"id": name, "format": "openai.chat", "accounts": accounts} for name in ("acme", "beta")],
        "combos": [{"name": f"c{i}", "targets": ["acme/m"]} for i in range(size)],
        "prices": [{"provider": "beta", "model": f"m{i}", "input": "1", "output": "1"} for i in range(size)],
    }


def apply(held: Held, size: int) -> list[planning.Step]:
    ids = itertools.count()
    writer = Writer(
        "default", lambda: f"id-{next(ids)}", lambda account, secret: "", {}, "", lambda of, loc: planning.Where("")
    )
    return planning.apply(held, writer, objects.of_tree(tree(size)))


def test_what_is_held_is_put_in_order_as_often_for_many_objects_as_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    changed, calls = Held.changed, list[int]()

    def counted(self: Held, **given: Any) -> Held:
        calls.append(1)
        return changed(self, **given)

    monkeypatch.setattr(Held, "changed", counted)
    apply(objects.NOTHING, 1)
    few = len(calls)
    apply(objects.NOTHING, 50)
    assert len(calls) == 2 * few


def test_each_object_belongs_to_what_the_same_file_makes() -> None:
    steps = apply(objects.NOTHING, 3)
    held = objects.NOTHING.changed(put=[step.entity for step in steps])
    assert {(named, held.name(one)) for named, one in held.items()} == {
        (named, named[1]) for named in objects.of_tree(tree(3))
    }
    assert apply(held, 3) == []
