"""A folder with a development CA and the certificates that it gave: ``ca.crt``, ``ca.key``, ``<name>.crt``,
``<name>.key``. Keys are readable to their owner only; nothing that is there is overwritten unless it is renewed."""

import datetime as dt
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from omni_launch.certificates import SUBJECTS, Described, Pair, described, issue, new_ca
from omni_launch.data_dir import write_private
from omni_launch.problems import CannotStart
from omni_launch.targets import TARGETS

CA = "ca"
# By these every process is found on one machine; a service's name, by which compose finds it, is always there too.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


class Entry(msgspec.Struct, frozen=True):
    """A certificate of the folder."""

    name: str
    file: Path
    says: Described


class CertFolder:
    """Everything raises ``CannotStart`` for what it cannot do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def make_ca(self, now: dt.datetime) -> None:
        """A new CA, where there is none."""
        self._refuse_what_is_there(CA)
        self._write(CA, new_ca(now))

    def issue(self, name: str, hosts: Iterable[str], now: dt.datetime, days: int) -> Entry:
        """A certificate for ``name``, where there is none."""
        if name not in SUBJECTS:
            raise CannotStart(f"there is no service '{name}'", f"Choose one of {', '.join(SUBJECTS)}")
        self._refuse_what_is_there(name)
        self._write(name, self._issued(name, tuple(hosts), now, days))
        return self.entry(name)

    def renew(self, name: str, now: dt.datetime, days: int) -> Entry:
        """A new key and certificate for the same services and hosts, in place of the old ones."""
        hosts = self.entry(name).says.hosts
        self._write(name, self._issued(name, hosts, now, days))
        return self.entry(name)

    def entry(self, name: str) -> Entry:
        file = self.certificate(name)
        try:
            return Entry(name, file, described(file.read_bytes()))
        except FileNotFoundError as error:
            raise CannotStart(f"there is no certificate {file}", f"Make it: omniroute certs issue {name}") from error
        except OSError as error:
            raise CannotStart(f"cannot read {file}: {error.strerror}", "It must be readable by this user") from error
        except ValueError as error:
            raise CannotStart(f"{file} is no certificate", "Remove it, and issue another") from error

    def entries(self) -> list[Entry]:
        """The CA first, then by name."""
        self._ca()
        names = sorted(path.stem for path in self.folder.glob("*.crt"))
        return [self.entry(name) for name in sorted(names, key=lambda name: name != CA)]

    def _ca(self) -> Pair:
        try:
            return Pair(self.certificate(CA).read_bytes(), self.key(CA).read_bytes())
        except FileNotFoundError as error:
            raise CannotStart(f"there is no CA in {self.folder}", "Make one: omniroute certs init") from error
        except OSError as error:
            raise CannotStart(
                f"cannot read the CA in {self.folder}: {error.strerror}", "It must be readable by this user"
            ) from error

    def _issued(self, name: str, hosts: tuple[str, ...], now: dt.datetime, days: int) -> Pair:
        try:
            return issue(self._ca(), name, hosts, now, days)
        except ValueError as error:
            raise CannotStart(f"cannot issue a certificate for {name}: {error}", "Check --host and the CA") from error

    def _refuse_what_is_there(self, name: str) -> None:
        for path in (self.certificate(name), self.key(name)):
            if path.exists():
                what = "the CA, and every certificate it gave, is" if name == CA else "it is"
                raise CannotStart(
                    f"{path} is there already, and {what} left as it is",
                    "Choose another folder with --out"
                    if name == CA
                    else f"'omniroute certs renew {name}' gives it a new key",
                )

    def _write(self, name: str, pair: Pair) -> None:
        """The key before the certificate. A process that looks in between sees that they do not belong together, and
        goes on with what it had."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(self.key(name), pair.key.decode())
            write_private(self.certificate(name), pair.certificate.decode())
            os.chmod(self.certificate(name), 0o644)
        except OSError as error:
            raise CannotStart(
                f"cannot write to {self.folder}: {error.strerror}", "Choose another folder with --out"
            ) from error


def everyday_names() -> tuple[str, ...]:
    """Whom ``init`` gives a certificate: each service by itself, the gateway, Redis and NATS."""
    return tuple(name for name in SUBJECTS if name not in TARGETS or len(TARGETS[name]) == 1 or name == "gateway")
