"""Admits callers by their token, or says why not."""

from __future__ import annotations

from typing import Final

from twinserve_server.access.token_file import TokenFile
from twinserve_server.access.tokens import Token, TokenError, find_token
from twinserve_server.errors import PermissionDeniedError, TwinserveError, UnauthenticatedError
from twinserve_server.structured_log import structlog

SCHEME: Final = "bearer"

log = structlog.get_logger()


class Guard:
    """Checks the ``authorization`` of every call against a token file."""

    def __init__(self, file: TokenFile) -> None:
        self._file = file
        #: Accepted headers, so that each token is hashed only once. Rejected ones are not kept, so that a flood
        #: of wrong tokens cannot fill memory.
        self._known: dict[str, tuple[Token, frozenset[str]]] = {}

    def refresh(self) -> None:
        """Re-read the file if it has changed. An unusable file changes nothing; the log says why."""
        before = self._file.tokens
        try:
            self._file.refresh()
        except TokenError as error:
            log.warning("tokens_not_read", reason=error.message, in_force=len(self._file.tokens))
            return
        if self._file.tokens != before:
            self._known.clear()
            log.info("tokens_read", file=str(self._file.path), in_force=len(self._file.tokens))

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens in force."""
        return self._file.tokens

    def refusal(self, authorization: str | None, role: str) -> TwinserveError | None:
        """Why a caller with this ``authorization`` header does not have ``role``; None if it does."""
        if authorization is None:
            return UnauthenticatedError("a token is needed: send the metadata `authorization: Bearer TOKEN`")
        found = self._known.get(authorization)
        if found is None:
            scheme, _, secret = authorization.strip().partition(" ")
            if scheme.lower() != SCHEME:
                return UnauthenticatedError(
                    "the authorization is not a bearer token: send `authorization: Bearer TOKEN`"
                )
            token = find_token(self._file.tokens, secret.strip())
            if token is None:
                return UnauthenticatedError("the token is not known here; was it revoked, or is it for another server?")
            found = token, token.rights
            if len(self._known) < 2 * len(self._file.tokens):
                self._known[authorization] = found
        token, rights = found
        if role not in rights:
            return PermissionDeniedError(
                f"the token {token.name!r} has the role {' and '.join(token.roles)}; this needs the role {role}"
            )
        return None
