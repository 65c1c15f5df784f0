"""Keys of applied files, whatever the files say one after the other."""

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st
from omni_auth.domain.apikeys import OlderSecret, StoredKey
from omni_auth.domain.applied_keys import Asking, HeldKeys, KeyStep, Said, outcome, plan, said
from omni_auth.domain.planning import Where
from omni_auth.domain.problems import dotted
from omni_auth.domain.sections.limits import KeySection
from omni_catalogue.scopes import ANY
from omni_wire.errors import InvalidRequest

NAMES, SECRETS, PEPPER = ("ci", "bot", "boss"), ("one", "two", "three", "four"), b"p" * 32


@dataclass
class Store:
    """What the database does with steps, and with keys that the API revokes: it knows every digest there ever was."""

    own: dict[str, StoredKey] = field(default_factory=dict)
    revoked: dict[str, OlderSecret] = field(default_factory=dict)
    used: dict[bytes, str] = field(default_factory=dict)

    def held(self) -> HeldKeys:
        return HeldKeys(self.own, self.revoked, self.used)

    def write(self, steps: list[KeyStep]) -> None:
        for step in steps:
            self.revoked.pop(step.after.id, None)
            self.own[step.after.name] = step.after
            self.used[step.after.digest] = step.after.id

    def revoke(self, name: str) -> None:
        key = self.own.pop(name, None)
        if key is not None:
            self.revoked[key.id] = OlderSecret(key.digest, 9)


def asking(**more: object) -> Asking:
    whole = Asking("default", "gateway.yaml", {}, "", ANY, lambda loc: Where(dotted(loc)), 7)
    return Asking(**({name: getattr(whole, name) for name in Asking.__struct_fields__} | more))


def key(name: str, secret: str, **more: object) -> Said:
    section = KeySection.model_validate({"name": name, "secret": {"value": secret}} | more)
    return said(section, secret, PEPPER)


keys = st.builds(
    lambda name, secret, rate: key(name, secret, limits={"requests_per_minute": str(rate)}),
    st.sampled_from(NAMES), st.sampled_from(SECRETS), st.integers(1, 3),
)  # fmt: skip
files = st.lists(keys, max_size=3, unique_by=lambda one: one.section.name)


@given(st.lists(st.tuples(files, st.none() | st.sampled_from(NAMES)), max_size=6))
def test_a_file_that_is_taken_is_what_the_store_has_and_one_that_is_refused_changes_nothing(
    story: list[tuple[list[Said], str | None]],
) -> None:
    store, gone = Store(), set[bytes]()
    for file, revoked in story:
        before = replace(store, own=dict(store.own), revoked=dict(store.revoked), used=dict(store.used))
        steps, param = None, "keys["
        try:
            steps = plan(store.held(), asking(), file)
        except InvalidRequest as error:
            param = error.param or ""
        assert param.startswith("keys[")
        if steps is not None:
            assert store == before, "deciding writes nothing"
            store.write(steps)
            gone |= {step.before.digest for step in steps if step.before is not None and step.action == "rotate"}
            for one in file:
                held = store.own[one.section.name]
                assert (held.digest, held.id) == (one.digest, f"key-{one.section.name}")
                assert held.requests_per_minute == one.section.limits.requests_per_minute
            assert plan(store.held(), asking(), file) == [], "the same again is no change"
            named = {one.section.name for one in file}
            assert {name: one for name, one in before.own.items() if name not in named}.items() <= store.own.items()
        digests = [one.digest for one in store.own.values()]
        assert len(set(digests)) == len(digests)
        assert not gone & set(digests), "what was revoked or replaced never comes back"
        if revoked in store.own:
            gone.add(store.own[revoked].digest)
            store.revoke(revoked)


def test_every_field_of_a_file_s_key_is_carried_or_shown_as_changed() -> None:
    plain = key("ci", "one")
    store = Store()
    store.write(plan(store.held(), asking(), [plain]))
    for name, value in {
        "role": "admin", "models": ["acme/*"], "providers": ["acme"], "endpoints": ["chat"], "ips": ["10.0.0.0/8"],
        "management": ["usage"], "expires": "2033-01-01", "limits": {"requests_per_minute": "5"},
        "budget": {"usd": "5", "unpriced": "serve", "unaffordable": "refuse"}, "rules": {"sanitize": "on"},
        "tags": ["batch"],
    }.items():  # fmt: skip
        (step,) = plan(store.held(), asking(), [key("ci", "one", **{name: value})])
        action, _, _, before, after = outcome(step)
        assert (action, step.action) == ("update", "update")
        assert isinstance(before, dict)
        assert isinstance(after, dict)
        assert before.get(name) != after[name]
        assert {**before, name: 0} == {**after, name: 0}
    budget = {"budget": {"usd": "5"}}
    store.write(plan(store.held(), asking(), [key("ci", "one", **budget)]))
    (step,) = plan(store.held(), asking(), [key("ci", "one", when_away="open", **budget)])
    _, _, _, before, after = outcome(step)
    assert after == {**(before if isinstance(before, dict) else {}), "when_away": "open"}
    assert set(KeySection.model_fields) == {
        "name", "secret", "role", "models", "providers", "endpoints", "ips", "management", "expires", "limits",
        "budget", "rules", "team", "user", "tags", "when_away", "no_bodies",
    }, "a new field is to be carried too"  # fmt: skip
