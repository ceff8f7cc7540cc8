"""Bearer tokens: creating one, the format of the token file, and finding a caller's token."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from twinserve_server.errors import TwinserveError, shown

PREDICT: Final = "predict"
ADMIN: Final = "admin"
METRICS: Final = "metrics"
#: What a role may do; ``admin`` includes the others.
ROLES: Final = {PREDICT: {PREDICT}, METRICS: {METRICS}, ADMIN: {PREDICT, METRICS, ADMIN}}

#: The prefix of every token, so that scanners for leaked secrets find it.
PREFIX: Final = "twinserve_"
TOKEN_BYTES: Final = 32
MAX_TOKENS: Final = 1024

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH: Final = re.compile(r"sha256:([0-9a-f]{64})")

HEADER: Final = "# twinserve tokens: name, roles, hash of the token. Managed by `twinserve token`.\n"


class TokenError(TwinserveError):
    """The token file cannot be used; the message names the file, the line and what is wrong."""

    reason = "TOKENS"


@dataclass(frozen=True, slots=True)
class Token:
    """One line of a token file.

    Attributes:
        name: for people; unique in its file.
        roles: one or more of ``ROLES``.
        digest: SHA-256 of the token.
    """

    name: str
    roles: tuple[str, ...]
    digest: bytes

    @property
    def rights(self) -> frozenset[str]:
        """The roles it has, including implied ones."""
        return frozenset[str]().union(*(ROLES[role] for role in self.roles))

    def __str__(self) -> str:
        return f"{self.name} {','.join(self.roles)} sha256:{self.digest.hex()}"


def new_secret() -> str:
    """A token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(secret: str) -> bytes:
    """The stored hash of a token. One round of SHA-256 is enough: 256 random bits cannot be guessed."""
    return hashlib.sha256(secret.encode()).digest()


def find_token(tokens: Iterable[Token], secret: str) -> Token | None:
    """The token whose secret this is; takes constant time, so that timing reveals nothing."""
    digest = digest_of(secret)
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def parse_tokens(text: str, where: str) -> tuple[Token, ...]:
    """The tokens of a file.

    Args:
        text: its content; one token per line, ``NAME ROLE[,ROLE] sha256:HEX``; ``#`` starts a comment.
        where: names the file in messages.

    Raises:
        TokenError: it is empty, or a line is malformed or repeats a token.
    """
    if not text.strip():
        raise TokenError(f"{where}: is empty; make a token with `twinserve token create`")
    tokens: dict[str, Token] = {}
    digests = set()
    for number, line in token_lines(text):
        token = parse_line(line, f"{where}:{number}")
        if token.name in tokens:
            raise TokenError(f"{where}:{number}: there is another token named {token.name!r}")
        if token.digest in digests:
            raise TokenError(f"{where}:{number}: {token.name!r} has the hash of another token")
        digests.add(token.digest)
        tokens[token.name] = token
    if len(tokens) > MAX_TOKENS:
        raise TokenError(f"{where}: holds {len(tokens)} tokens; at most {MAX_TOKENS} are allowed")
    return tuple(tokens.values())


def token_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines with a token, with their numbers."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def parse_line(line: str, where: str) -> Token:
    """One line.

    Raises:
        TokenError: it is malformed. The message never quotes the third word: it may be a secret put there by mistake.
    """
    parts = line.split()
    if len(parts) != 3:
        raise TokenError(f"{where}: has {len(parts)} words; a token is NAME ROLE[,ROLE] sha256:HEX")
    name, roles, digest = parts
    check_name(name, where)
    hashed = _HASH.fullmatch(digest)
    if hashed is None:
        raise TokenError(f"{where}: the third word is not sha256: and 64 hexadecimal digits")
    return Token(name, check_roles(roles.split(","), where), bytes.fromhex(hashed[1]))


def check_name(name: str, where: str) -> None:
    """Check that ``name`` is a valid token name.

    Raises:
        TokenError: it is not.
    """
    if not _NAME.fullmatch(name):
        raise TokenError(f"{where}: {shown(name)} is not a name; give 1 to 64 letters, digits, '.', '_' or '-'")


def check_roles(roles: list[str], where: str) -> tuple[str, ...]:
    """``roles`` without duplicates.

    Raises:
        TokenError: one of them is not a role.
    """
    for role in roles:
        if role not in ROLES:
            raise TokenError(f"{where}: {shown(role)} is not a role; available: {', '.join(ROLES)}")
    return tuple(dict.fromkeys(roles))
