"""The token file: what a line is, and what is said of one that is none."""

from __future__ import annotations

import pytest

from twinserve_server.access.tokens import (
    HEADER,
    PREFIX,
    Token,
    TokenError,
    digest_of,
    find_token,
    new_secret,
    parse_tokens,
)

SECRET = "twinserve_" + "a" * 43
LINE = f"app predict sha256:{digest_of(SECRET).hex()}"


def test_a_token_is_256_random_bits_behind_a_prefix_that_scanners_find() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(secret.startswith(PREFIX) and len(secret) == len(PREFIX) + 43 for secret in secrets)


def test_a_file_holds_one_token_a_line_between_comments_and_blank_lines() -> None:
    (token,) = parse_tokens(f"# who\n\n{LINE}\n  # and why\n", "tokens")
    assert token == Token("app", ("predict",), digest_of(SECRET))
    assert str(token) == LINE
    assert SECRET not in str(token)


def test_a_file_of_comments_alone_lets_nobody_in() -> None:
    assert parse_tokens(HEADER, "tokens") == ()


@pytest.mark.parametrize(
    ("roles", "rights"),
    [
        ("predict", {"predict"}),
        ("metrics", {"metrics"}),
        ("predict,metrics", {"predict", "metrics"}),
        ("admin", {"predict", "metrics", "admin"}),
    ],
)
def test_roles_give_rights_and_admin_includes_the_others(roles: str, rights: set[str]) -> None:
    (token,) = parse_tokens(LINE.replace("predict", roles), "tokens")
    assert token.rights == rights


def test_a_secret_finds_its_token_and_nothing_else_does() -> None:
    tokens = parse_tokens(LINE, "tokens")
    assert find_token(tokens, SECRET) is tokens[0]
    for other in ("", SECRET[:-1], SECRET + "a", SECRET.upper(), digest_of(SECRET).hex()):
        assert find_token(tokens, other) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "tokens: is empty; make a token with `twinserve token create`"),
        (" \n", "tokens: is empty; make a token with `twinserve token create`"),
        ("app predict", "tokens:1: has 2 words; a token is NAME ROLE[,ROLE] sha256:HEX"),
        (f"{LINE} more", "tokens:1: has 4 words; a token is NAME ROLE[,ROLE] sha256:HEX"),
        (LINE[:-1], "tokens:1: the third word is not sha256: and 64 hexadecimal digits"),
        (f"app predict {SECRET}", "tokens:1: the third word is not sha256: and 64 hexadecimal digits"),
        (LINE.replace("predict", "root"), "tokens:1: 'root' is not a role; available: predict, metrics, admin"),
        (LINE.replace("predict", "predict,"), "tokens:1: '' is not a role; available: predict, metrics, admin"),
        ("#\n-" + LINE, "tokens:2: '-app' is not a name; give 1 to 64 letters, digits, '.', '_' or '-'"),
        (f"{LINE}\n{LINE}", "tokens:2: there is another token named 'app'"),
        (f"{LINE}\nb{LINE}", "tokens:2: 'bapp' has the hash of another token"),
    ],
)
def test_a_line_that_is_no_token_spoils_the_file(text: str, said: str) -> None:
    with pytest.raises(TokenError) as caught:
        parse_tokens(text, "tokens")
    assert caught.value.message == said
    assert SECRET not in said
