"""The certificate of a process and the CA that it trusts, from files that may be replaced while it runs.

The files are looked at when they are needed, at most once a second. New ones count from the next handshake on, and
only as a whole: a key that does not belong to its certificate (because the other file is not there yet) leaves what
was in force.
"""

import logging
import ssl
import threading
from pathlib import Path

import msgspec

from omni_core.clock import monotonic

log = logging.getLogger("omniroute.tls")

LOOK = 1.0  # seconds between two looks at the files

_Stamp = tuple[tuple[int, int, int], ...]


class CannotUse(ValueError):
    """The files are not there, or are not what they should be; says which."""


class TlsFiles(msgspec.Struct, frozen=True):
    """PEM files: the CA that others' certificates are of, our own certificate (with what leads to the CA), its key."""

    ca: Path
    certificate: Path
    key: Path


class Material(msgspec.Struct, frozen=True):
    """What the files said. ``number`` counts changes."""

    number: int
    ca: bytes
    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Material({self.number})"


class Tls:
    """``files`` as they are now. Raises ``CannotUse`` when they are not there, or not a certificate, its key and a CA;
    later that is logged, and what was good stays in force."""

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self._lock = threading.Lock()  # gRPC asks from a thread of its own
        self._stamp: _Stamp = ()
        self._told = ""  # what was wrong at the last look
        self._looked = monotonic()
        try:
            self._stamp = self._stamps()
            self._material = self._read(0)
        except (OSError, ValueError) as error:
            raise CannotUse(_said(error, files)) from error

    def __repr__(self) -> str:
        return f"Tls({str(self.files.certificate)!r})"

    def current(self) -> Material:
        """What is in force. Any thread may ask."""
        now = monotonic()
        with self._lock:
            if now - self._looked >= LOOK:
                self._looked = now
                self._look()
            return self._material

    def _look(self) -> None:
        try:
            stamp = self._stamps()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            read = self._read(self._material.number + 1)
        except (OSError, ValueError) as error:
            if not isinstance(error, ssl.SSLError):
                self._stamp = ()  # what could not be read is looked at again, though nothing of it changes
            told = _said(error, self.files)
            if told != self._told:
                log.warning("the certificate in force stays: %s", told)
            self._told = told
            return
        self._material, self._told = read, ""
        log.info("a new certificate is in force", extra={"fields": {"file": str(self.files.certificate)}})

    def _stamps(self) -> _Stamp:
        found = (path.stat() for path in (self.files.ca, self.files.certificate, self.files.key))
        return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)

    def _read(self, number: int) -> Material:
        files = self.files
        material = Material(number, files.ca.read_bytes(), files.certificate.read_bytes(), files.key.read_bytes())
        client_context(files)
        if self._stamps() != self._stamp:
            raise ValueError("they changed while they were read")
        return material


def client_context(files: TlsFiles | None, ca: str = "") -> ssl.SSLContext:
    """For connections to Redis and NATS. ``ca`` "" is that of ``files``, "system" this machine's trusted ones (which
    also stand in where there are no files), anything else a file. Our certificate is shown to who asks for one.

    Raises ``OSError`` (``ssl.SSLError`` is one) for files that are missing or do not belong together."""
    file = ca or (str(files.ca) if files is not None else "system")
    context = ssl.create_default_context(cafile=None if file == "system" else file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


def _said(error: Exception, files: TlsFiles) -> str:
    """In words that lead to the file at fault, and never with what is in it."""
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "unreadable").replace("_", " ").lower()
        return f"{files.certificate}, {files.key} and {files.ca} are no certificate, its key and a CA ({reason})"
    if isinstance(error, OSError):
        return f"cannot read {error.filename}: {error.strerror}"
    return f"{files.certificate}: {error}"


class Contexts:
    """``client_context`` for one server, as the files are now. Calling it raises ``OSError`` when they are no good."""

    def __init__(self, tls: Tls | None, ca: str = "") -> None:
        self._tls = tls
        self._ca = ca
        self._number = -1
        self._context: ssl.SSLContext | None = None

    def __call__(self) -> ssl.SSLContext:
        number = self._tls.current().number if self._tls is not None else 0
        if self._context is None or number != self._number:
            self._context = client_context(self._tls.files if self._tls is not None else None, self._ca)
            self._number = number
        return self._context
