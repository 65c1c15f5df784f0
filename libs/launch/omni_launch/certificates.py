"""A development CA and the certificates it gives, as values: no file, no clock.

A certificate says which services its process runs, in URI names (``omni_core.identity.spiffe``), and by which hosts it
is reached. A service's own name is among the hosts: whoever calls the router by any address insists on that name, so
that no other service can stand in for it.
"""

import datetime as dt
import ipaddress

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from omni_core.identity import service_of, spiffe

from omni_launch.targets import TARGETS

CA_DAYS = 3650
# Servers that are not ours but are called by us: theirs are certificates of hosts only.
STORES = ("redis", "nats")
SUBJECTS = (*TARGETS, *STORES)
_SKEW = dt.timedelta(minutes=5)  # a machine whose clock is a little behind must not refuse a new certificate


class Pair(msgspec.Struct, frozen=True):
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(…)"


class Described(msgspec.Struct, frozen=True):
    """What a certificate says: ``services`` whose identity it is, ``hosts`` (DNS names and addresses)."""

    services: tuple[str, ...]
    hosts: tuple[str, ...]
    not_before: dt.datetime
    not_after: dt.datetime

    def days_left(self, now: dt.datetime) -> int:
        """Whole days; negative when it has expired."""
        return (self.not_after - now).days


def new_ca(now: dt.datetime, days: int = CA_DAYS) -> Pair:
    """A CA that may sign certificates, and no other CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("OmniRoute development CA")
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    made = (
        _begun(name, name, key, now, now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(made, key)


def issue(ca: Pair, subject: str, hosts: tuple[str, ...], now: dt.datetime, days: int) -> Pair:
    """A certificate for ``subject``: a target of ours (its services are the identities), or one of ``STORES``.

    It ends with its CA at the latest. Raises ``ValueError`` for a host that is neither a name nor an address."""
    issuer, issuer_key = _loaded(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    services = TARGETS.get(subject, ())
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(spiffe(service)) for service in services]
    names += [_host(host) for host in dict.fromkeys((subject, *services, *hosts))]
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    until = min(now + dt.timedelta(days=days), issuer.not_valid_after_utc)
    made = (
        _begun(_name(subject), issuer.subject, key, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(authority, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _pair(made, key)


def described(certificate: bytes) -> Described:
    """Raises ``ValueError`` for what is no certificate in PEM."""
    found = x509.load_pem_x509_certificate(certificate)
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Described((), (), found.not_valid_before_utc, found.not_valid_after_utc)
    services = [service_of(uri) for uri in names.get_values_for_type(x509.UniformResourceIdentifier)]
    hosts = (
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )
    return Described(
        tuple(service for service in services if service), hosts, found.not_valid_before_utc, found.not_valid_after_utc
    )


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: dt.datetime, until: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(until)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _loaded(ca: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = serialization.load_pem_private_key(ca.key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the CA's key is of another kind than this command makes")  # noqa: TRY004 - the file's fault
    return x509.load_pem_x509_certificate(ca.certificate), key
