"""Certificates for tests, made as ``omniroute certs`` makes them."""

import datetime as dt
from pathlib import Path

from omni_core.tls import Tls, TlsFiles
from omni_launch.cert_folder import LOCAL_HOSTS, CertFolder, everyday_names

DAYS = 30


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def certificates(folder: Path) -> CertFolder:
    """A CA in ``folder``, and a certificate for everybody whom ``omniroute certs init`` gives one."""
    made = CertFolder(folder)
    made.make_ca(now())
    for name in everyday_names():
        made.issue(name, LOCAL_HOSTS, now(), DAYS)
    return made


def files_of(folder: CertFolder, name: str) -> TlsFiles:
    return TlsFiles(folder.certificate("ca"), folder.certificate(name), folder.key(name))


def tls_of(folder: CertFolder, name: str) -> Tls:
    return Tls(files_of(folder, name))


def variables(folder: CertFolder, name: str) -> dict[str, str]:
    """What a process is given for its certificate."""
    files = files_of(folder, name)
    return {
        "OMNIROUTE_TLS_CA": str(files.ca),
        "OMNIROUTE_TLS_CERT": str(files.certificate),
        "OMNIROUTE_TLS_KEY": str(files.key),
    }
