"""gRPC's credentials out of the certificate of this process."""

from collections.abc import Callable
from typing import cast

import grpc

from omni_core.tls import Material, Tls


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """For a listener that takes no caller without a certificate of our CA. New files count from the next handshake."""
    given = tls.current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal given
        now = tls.current()
        if now.number == given.number:
            return None
        given = now
        return _configuration(now)

    # None is gRPC's word for "as before", which its stubs do not know.
    fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", changed)
    return grpc.dynamic_ssl_server_credentials(_configuration(given), fetch, True)


def channel_credentials(material: Material) -> grpc.ChannelCredentials:
    """For one channel: gRPC reads a certificate once, so that another one needs another channel."""
    return grpc.ssl_channel_credentials(material.ca, material.key, material.certificate)


def _configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(material.key, material.certificate)], material.ca)
