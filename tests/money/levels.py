"""Whom the reservations of a test are for: an organisation, its teams, their users, their keys, with caps on all. Pure.

Three such trees. In "fixed" every attempt costs the same, so that its cap can be used up to the last one; in "random"
what is held and what it comes to is by chance; in "windows" each level has a window of its own, and allowances besides.
"""

import random
from collections.abc import Iterator

import msgspec
from omni_catalogue.windows import Window
from omni_ledger import AllowanceHold, BudgetHold, Level

TREES = ("fixed", "random", "windows")
PRICE = 1_000  # of an attempt in "fixed", nano-USD
WANTED = 200  # output tokens, at most

# Of demand and of the level above: the organisation's cap is the one that ends it.
_OF_DEMAND = 0.4
_SHARES = (1.0, 0.6, 0.35, 0.2)
_MEAN = {"fixed": PRICE, "random": 400, "windows": 400}
_SPANS = {"day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400}


class Owner(msgspec.Struct, frozen=True):
    """Who has a cap, in nano-USD in a ``window``, and the allowances beside it, by (of, most, window)."""

    name: str
    cap: int
    window: Window
    allowances: tuple[tuple[str, int, Window], ...] = ()
    requests_per_minute: int = 0


class Branch(msgspec.Struct, frozen=True):
    """A key, and whose it is: organisation, team, user."""

    tree: str
    key: Owner
    above: tuple[Owner, ...]

    @property
    def owners(self) -> tuple[Owner, ...]:
        return (*self.above, self.key)


class Asked(msgspec.Struct, frozen=True):
    """What one attempt asks of all levels of its branch."""

    branch: Branch
    budget: BudgetHold
    levels: tuple[Level, ...]
    wanted_output: int


def branches(attempts: int, now_s: int) -> list[Branch]:
    """Two teams of two users of two keys in each tree, whose caps bind where ``attempts`` are made in all. Windows lie
    around ``now_s``, so that none ends meanwhile."""
    return [branch for tree in TREES for branch in _tree(tree, attempts / len(TREES), now_s)]


def _tree(tree: str, attempts: float, now_s: int) -> Iterator[Branch]:
    cap = int(attempts * _OF_DEMAND) * _MEAN[tree]
    windows: tuple[Window, ...] = ("total",) * 4
    if tree == "windows":
        windows = ("total", *(_around(name, now_s) for name in ("month", "week", "day")))
        cap *= 2  # here it is mostly the rest that refuses
    per_minute = max(40, int(attempts / 3))

    def owner(depth: int, name: str) -> Owner:
        of = max(PRICE, int(cap * _SHARES[depth]) // PRICE * PRICE)
        allowances: tuple[tuple[str, int, Window], ...] = ()
        if tree == "windows":
            allowances = (
                (("tokens", per_minute * WANTED, "minute"), ("requests", int(attempts * 0.9), "5h")),
                (("output", int(attempts * WANTED * 0.4), windows[1]),),
                (("input", per_minute * 40, "minute"),),
                (),
            )[depth]
        limit = per_minute // 4 if tree == "windows" and depth == 3 else 0
        return Owner(f"{tree}:{name}", of, windows[depth], allowances, limit)

    for team in "ab":
        for user in "12":
            for key in "xy":
                above = owner(0, "org"), owner(1, f"team-{team}"), owner(2, f"user-{team}{user}")
                yield Branch(tree, owner(3, f"key-{team}{user}{key}"), above)


def _around(name: str, now_s: int) -> Window:
    """A window of the calendar by borders of its own, of which ``now_s`` is in the middle."""
    span = _SPANS[name]
    start = now_s - span // 2
    return (name, start - span, start, start + span, start + 2 * span)


def owners(all_branches: list[Branch]) -> list[Owner]:
    return list({owner.name: owner for branch in all_branches for owner in branch.owners}.values())


def ask(branch: Branch, chance: random.Random) -> Asked:
    fixed, per_token, wanted, given = PRICE, 0, WANTED, 0
    if branch.tree != "fixed":
        fixed, per_token = chance.randint(1, 500), chance.randint(1, 9)
        wanted, given = chance.randint(1, WANTED), chance.randint(1, 40)

    def budget(owner: Owner) -> BudgetHold:
        return BudgetHold(
            cap_nano_usd=owner.cap, window=owner.window, fixed_nano_usd=fixed, per_output_token_nano_usd=per_token
        )

    def allowance(of: str, most: int, window: Window) -> AllowanceHold:
        taken = {"requests": (1, 0), "input": (given, 0), "output": (0, 1), "tokens": (given, 1)}[of]
        return AllowanceHold(of=of, most=most, window=window, fixed=taken[0], per_output_token=taken[1])

    levels = tuple(
        Level(owner=owner.name, budget=budget(owner), allowances=tuple(allowance(*each) for each in owner.allowances))
        for owner in branch.above
    )
    return Asked(branch, budget(branch.key), levels, wanted)
