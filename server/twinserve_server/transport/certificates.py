"""The certificates of a running server: watches its TLS files, for gRPC and for sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_server.structured_log import structlog
from twinserve_server.transport.tls import Pem, TlsError, TlsFiles

if TYPE_CHECKING:
    import ssl

    import grpc

log = structlog.get_logger()


class Certificates:
    """The content of the TLS files. A change applies to new connections; open ones continue."""

    def __init__(self, files: TlsFiles, known: Pem | None = None) -> None:
        """
        Args:
            files: where they are.
            known: in force until the files are read for the first time; None: they are read now.

        Raises:
            TlsError: they are read now and cannot be used.
        """
        self._files = files
        self._stamp: object = None
        #: For a listener other than gRPC's, once the files have been read.
        self.context: ssl.SSLContext | None = None
        if known is None:
            self._stamp = files.stamp()
            self.context, known = files.check(), files.read()
        self.pem = known

    def refresh(self) -> None:
        """Read the files if they have changed. What cannot be used changes nothing, and the log says why."""
        stamp = self._files.stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            before = self._files.read()
            context = self._files.check()
            pem = self._files.read()
        except TlsError as error:
            # For example between the replacement of the certificate and that of the key.
            log.warning("tls_files_not_read", reason=error.message)
            return
        if pem != before:
            # The files have changed since they were checked.
            self._stamp = None
            return
        self.context = context
        if pem != self.pem:
            self.pem = pem
            log.info("tls_files_read", cert=self._files.cert)

    def credentials(self) -> grpc.ServerCredentials:
        """For a gRPC listener: with each connection it takes the files in force."""
        import grpc  # noqa: PLC0415  (the supervisor does without)

        given = self.pem

        def configuration() -> grpc.ServerCertificateConfiguration:
            return grpc.ssl_server_certificate_configuration([(given.key, given.cert)], given.client_ca or None)

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            # Called in one of gRPC's threads, before each handshake.
            nonlocal given
            if given is self.pem:
                return None
            given = self.pem
            return configuration()

        return grpc.dynamic_ssl_server_credentials(
            configuration(),
            fetch,  # type: ignore[arg-type]  # None means: as before; the stubs do not know
            require_client_authentication=bool(given.client_ca),
        )
