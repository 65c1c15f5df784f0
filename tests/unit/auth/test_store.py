"""The key store on disk, and the keys that are made without a running gateway."""

import sqlite3
import stat
import threading

import pytest
from omni_auth.adapters.config_file import ConfigFile, check_file
from omni_auth.adapters.offline import LOCAL_KEY_FILE, ensure_local_key, open_keys
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.store.location import store_path
from omni_auth.domain.apikeys import OlderSecret, presented_digest, stored_digest
from omni_catalogue.keyshape import is_wellformed
from omni_catalogue.rules import Rules, ThinkingRule
from omni_catalogue.scopes import Scopes
from omni_core.ports.auth import NewKey
from omni_wire.errors import DependencyUnavailable, InvalidRequest

from tests.unit.auth.test_compilation import stored_key


@pytest.fixture
def store(tmp_path):
    opened = SqlStore(tmp_path)
    opened.open()
    yield opened
    opened.close()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_on_disk_is_the_owners_alone(store, tmp_path):
    store.insert(stored_key())
    folder = store_path(tmp_path).parent
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}


def test_keys_survive_and_a_revoked_one_is_gone(store, tmp_path):
    store.insert(stored_key())
    store.insert(stored_key(id="api-2", name="t", digest=b"e"))
    assert store.revoke("api-1", 5)
    assert not store.revoke("api-1", 6)
    pepper = store.pepper()
    store.close()
    store.open()
    assert store.stored_keys() == [stored_key(id="api-2", name="t", digest=b"e")]
    assert store.pepper() == pepper
    assert len(pepper) == 32


def test_a_keys_rules_survive(store):
    ruled = stored_key(rules=Rules(sanitize=True, thinking=ThinkingRule(mode="custom", effort="low"), keep_alive=-1.0))
    store.insert(ruled)
    store.close()
    store.open()
    assert store.stored_keys() == [ruled]


def test_a_key_keeps_its_scopes(store):
    scoped = stored_key(scopes=Scopes(providers=("acme",), endpoints=("chat",), ips=("10.0.0.0/8",), expires=9))
    store.insert(scoped)
    assert store.stored_keys() == [scoped]


def test_a_key_that_was_changed_meanwhile_is_not_rotated(store):
    store.insert(stored_key())
    renewed = stored_key(digest=b"e", older=(OlderSecret(b"d", 9),))
    assert not store.rotate(renewed, b"another", 5)
    assert store.rotate(renewed, b"d", 5)
    assert store.stored_keys() == [renewed]
    store.revoke("api-1", 5)
    assert not store.rotate(stored_key(digest=b"f"), b"e", 6)


def test_a_key_is_rotated_offline(tmp_path):
    with open_keys(tmp_path) as keys:
        created = keys.create(NewKey(name="laptop", models=("a/*",)))
        rotated = keys.rotate("laptop", 60)
        assert is_wellformed(rotated.secret)
        assert rotated.secret != created.secret
        assert (rotated.key.id, rotated.key.models, rotated.key.hint) == (created.key.id, ("a/*",), created.key.hint)
        assert rotated.secret.startswith(rotated.key.hint)
        with pytest.raises(InvalidRequest, match="there is no key"):
            keys.rotate("phone", 60)


def test_a_name_is_taken_until_its_key_is_revoked(store):
    store.insert(stored_key())
    with pytest.raises(InvalidRequest, match="already"):
        store.insert(stored_key(id="api-2", digest=b"e"))
    store.revoke("api-1", 5)
    store.insert(stored_key(id="api-2", digest=b"e"))


def test_a_change_by_anyone_moves_the_version(store, tmp_path):
    before = store.version()
    assert store.version() == before
    other = SqlStore(tmp_path)
    other.open()
    other.insert(stored_key())
    other.close()
    after = store.version()
    store.revoke("api-1", 5)
    assert len({before, after, store.version()}) == 3


def test_revisions_only_grow_and_unchanged_content_keeps_its_own(store):
    first = store.advance(b"one", 0, 100)
    assert (first.revision, first.created) == (1, 100)
    assert store.advance(b"one", 0, 200) == first
    assert store.advance(b"two", 0, 300).revision == 2
    assert store.advance(b"two", 9, 400).revision == 10
    assert store.advance(b"one", 3, 500).revision == 11


def test_two_writers_wait_for_each_other(store, tmp_path):
    def write(number):
        other = SqlStore(tmp_path)
        other.open()
        for turn in range(5):
            other.insert(stored_key(id=f"{number}-{turn}", name=f"{number}-{turn}", digest=b"%d-%d" % (number, turn)))
        other.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.stored_keys()) == 20


def test_a_database_of_a_newer_version_and_a_broken_one_are_refused(tmp_path):
    path = store_path(tmp_path)
    with open_keys(tmp_path):
        pass
    raw = sqlite3.connect(path)
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.commit()
    raw.close()
    with pytest.raises(DependencyUnavailable, match="newer version"):
        SqlStore(tmp_path).open()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(DependencyUnavailable, match="cannot be used"):
        SqlStore(tmp_path).open()


def test_a_closed_store_says_so(tmp_path):
    with pytest.raises(DependencyUnavailable, match="closed"):
        SqlStore(tmp_path).stored_keys()


def test_keys_are_made_listed_and_revoked_offline(tmp_path):
    config = tmp_path / "omniroute.yaml"
    config.write_text("keys: [{name: ci, secret: {env: UNSET}, role: admin, budget: {usd: 1}}]")
    with open_keys(tmp_path, config, {}) as keys:
        created = keys.create(NewKey(name="laptop", models=("a/*",), requests_per_minute=5))
        assert is_wellformed(created.secret)
        assert created.secret.startswith(created.key.hint)
        assert created.secret not in repr(created)
        listed = {key.name: key for key in keys.list()}
        assert listed["laptop"] == created.key
        assert (listed["ci"].id, listed["ci"].managed_by, listed["ci"].budget_nano_usd) == ("key-ci", "file", 10**9)
        for name in ("laptop", "ci"):
            with pytest.raises(InvalidRequest, match="already"):
                keys.create(NewKey(name=name))
        with pytest.raises(InvalidRequest, match=r"managed by .*omniroute\.yaml"):
            keys.revoke("ci")
        assert keys.revoke("laptop").id == created.key.id
        with pytest.raises(InvalidRequest, match="there is no key"):
            keys.revoke("laptop")
        with pytest.raises(InvalidRequest, match="taken by the gateway"):
            keys.create(NewKey(name="local"))


@pytest.mark.parametrize("budget", [float("nan"), float("inf"), 1.5, -1, 10**30])
def test_a_key_with_a_nonsense_budget_is_refused_offline(tmp_path, budget):
    with open_keys(tmp_path) as keys:
        with pytest.raises(InvalidRequest, match="budget"):
            keys.create(NewKey(name="a", budget_nano_usd=budget))
        assert keys.list() == []


def test_a_local_key_that_cannot_be_kept_is_told(tmp_path):
    (tmp_path / LOCAL_KEY_FILE).mkdir()
    with pytest.raises(DependencyUnavailable, match="cannot write the key file"):
        ensure_local_key(tmp_path)


def test_only_a_keyed_digest_of_a_key_is_stored(tmp_path, store):
    with open_keys(tmp_path) as keys:
        secret = keys.create(NewKey(name="a")).secret
    (key,) = store.stored_keys()
    assert key.digest == stored_digest(store.pepper(), presented_digest(secret))
    on_disk = b"".join(path.read_bytes() for path in store_path(tmp_path).parent.iterdir())
    assert secret.encode() not in on_disk
    assert presented_digest(secret) not in on_disk


def test_the_local_key_is_made_once_and_again_when_it_no_longer_works(tmp_path):
    first = ensure_local_key(tmp_path)
    keep = tmp_path / LOCAL_KEY_FILE
    assert mode(keep) == 0o600
    assert keep.read_text().strip() == first
    assert ensure_local_key(tmp_path) == first
    with open_keys(tmp_path) as keys:
        (local,) = keys.list()
        assert (local.name, local.role) == ("local", "admin")
        keys.revoke("local")
    second = ensure_local_key(tmp_path)
    assert second != first
    keep.unlink()
    third = ensure_local_key(tmp_path)
    assert third not in (first, second)
    keep.write_bytes(b"\xff damaged")
    assert ensure_local_key(tmp_path) not in (first, second, third)
    with open_keys(tmp_path) as keys:
        assert len(keys.list()) == 1


def test_a_file_is_checked_with_its_secrets(tmp_path):
    config = tmp_path / "o.yaml"
    config.write_text("keys: [{name: a, secret: {file: a.key}}]")
    (problem,) = check_file(config, {}).problems
    assert problem == f"{config}:1: keys[0].secret: the file a.key cannot be read: no such file or directory"
    (tmp_path / "a.key").write_text("0123456789abcdef\n")
    assert check_file(config, {}).ok
    assert check_file(tmp_path / "none", {}).problems == (f"{tmp_path / 'none'}: no such file or directory",)
    assert check_file(tmp_path, {}).problems == (f"{tmp_path}: is a directory",)
    config.write_bytes(b"a: 1\nb: \xff")
    assert check_file(config, {}).problems == (f"{config}:2: not UTF-8 text",)


def test_a_fingerprint_follows_the_file_and_its_secrets(tmp_path):
    config, secret = tmp_path / "o.yaml", tmp_path / "a.key"
    config.write_text("keys: [{name: a, secret: {file: a.key}}]")
    source = ConfigFile(config, {})
    seen = [source.read().fingerprint]
    assert source.fingerprint() == seen[-1]
    secret.write_text("0123456789abcdef")
    seen.append(source.fingerprint())
    assert source.read().fingerprint == seen[-1]
    config.write_bytes(b"\xff")
    seen.append(source.fingerprint())
    assert source.read().fingerprint == seen[-1]
    config.unlink()
    seen.append(source.fingerprint())
    assert source.read().fingerprint == source.fingerprint() == seen[-1]
    assert len(set(seen)) == len(seen)
