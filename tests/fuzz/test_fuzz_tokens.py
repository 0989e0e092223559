"""Tokens that were changed, made up, or rightly signed by somebody who says strange things."""

import base64
import hmac
import json
import math
from typing import Any

import jwt
import pytest
from budget import examples
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st
from mutation import JSON, mutated

from wd_server.access.issuers import VerifyingKey
from wd_server.access.keys import SigningKeys
from wd_server.access.tokens import ANY_WALLET, LEEWAY_SECONDS, Claims, TokenRules, Tokens
from wd_server.errors import InvalidKey, InvalidWallet, TokenExpired
from wd_server.secret import Secret
from wd_server.trading.wallet import WalletAddress

NOW, LONGEST = 1_700_000_000.0, 900
WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
SECRET = "s" * 32
PRIVATE: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
RULES = TokenRules(
    issuer="us",
    audience="here",
    max_seconds=LONGEST,
    other_issuer="them",
    other_keys=tuple(VerifyingKey(None, alg, key.public_key()) for alg, key in PRIVATE.items()),
)
TOKENS = Tokens(SigningKeys(Secret(SECRET)), RULES)

RIGHT: dict[str, Any] = {
    "aud": "here",
    "sub": "somebody",
    "iat": int(NOW),
    "exp": int(NOW) + 300,
    "jti": "one",
    "wallets": [WALLET],
}
REAL = [
    TOKENS.issue(
        subject="key:wd_mine",
        key_id="wd_mine",
        wallets=[WALLET],
        seconds=300,
        max_streams=2,
        now=NOW,
    ).token.reveal(),
    *(jwt.encode(RIGHT | {"iss": "them"}, key, alg) for alg, key in PRIVATE.items()),
]
# What somebody who knows only the public keys may take for the key of an HMAC.
PUBLIC = [
    key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    for key in PRIVATE.values()
    for encoding in (Encoding.PEM, Encoding.DER)
]
PIECES = (b".", b"..", b"=", b"-", b"_", b"A", b"e30", b"eyJhbGciOiJub25lIn0", b"\0", b"\n", b"+/")


def _verified(text: str, now: float = NOW) -> Claims | None:
    """None where it is refused in one of the ways that there are, without telling the token."""
    try:
        return TOKENS.verify(Secret(text), now)
    except (InvalidKey, TokenExpired) as error:
        said = error.message
    assert len(text) < 5 or text not in said
    return None


def _part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _signed(header: Any, payload: bytes, key: bytes) -> str:
    message = f"{_part(json.dumps(header).encode())}.{_part(payload)}"
    return f"{message}.{_part(hmac.digest(key, message.encode(), 'sha256'))}"


@pytest.mark.parametrize("token", REAL)
def test_what_is_changed_here_is_right_before(token: str) -> None:
    assert _verified(token) is not None


@examples(750)
@given(
    mutated(st.sampled_from(REAL).map(str.encode), PIECES).map(lambda raw: raw.decode("latin-1"))
)
@example(REAL[0] + "=")
def test_a_changed_token_is_refused(text: str) -> None:
    """But for signs that mean nothing behind the signature: that is still the token it was."""
    assert _verified(text) is None or text.rstrip("=") in REAL


@examples(375)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "alg": st.sampled_from(
                ("none", "None", "", "HS256", "HS512", "RS256", "ES256", "EdDSA")
            )
            | JSON,
            "kid": JSON,
            "typ": JSON,
            "jwk": JSON,
            "jku": st.just("https://evil.example/keys"),
            "crit": JSON,
            "b64": JSON,
            "zip": st.just("DEF"),
        },
    )
    | JSON,
    st.sampled_from((b"", SECRET.encode(), *PUBLIC)).filter(lambda key: key != SECRET.encode()),
    st.booleans(),
)
def test_no_header_makes_a_token_believed_that_no_known_key_signed(
    header: Any, key: bytes, bare: bool
) -> None:
    payload = json.dumps(RIGHT | {"iss": "us"}).encode()
    text = _signed(header, payload, key)
    assert _verified(text.rpartition(".")[0] + "." if bare else text) is None


@examples(375)
@given(
    st.dictionaries(
        st.sampled_from(
            ("iss", "aud", "sub", "exp", "iat", "nbf", "jti", "wallets", "max_streams", "key")
        )
        | st.text(max_size=5),
        JSON
        | st.floats(NOW - 2000, NOW + 2000)
        | st.just([ANY_WALLET])
        | st.lists(st.just(WALLET)),
        max_size=3,
    ),
    st.sets(st.sampled_from(sorted(RIGHT)), max_size=1),
    st.floats(NOW - 1000, NOW + 1000),
)
@example({"exp": NOW + 1, "iat": NOW}, set(), NOW + 2.5)
@example({"wallets": [ANY_WALLET, WALLET]}, set(), NOW)
def test_whatever_a_believed_issuer_says_it_gets_no_more_than_the_rules_allow(
    changes: dict[str, Any], left_out: set[str], now: float
) -> None:
    said = {
        name: v for name, v in (RIGHT | {"iss": "us"} | changes).items() if name not in left_out
    }
    claims = _verified(_signed({"alg": "HS256"}, json.dumps(said).encode(), SECRET.encode()), now)
    if claims is None:
        return
    assert not left_out or left_out <= changes.keys() or not left_out & RIGHT.keys()
    assert claims.iss == "us"
    assert "here" in ([claims.aud] if isinstance(claims.aud, str) else claims.aud)
    assert now < claims.exp + LEEWAY_SECONDS
    assert claims.iat <= now + LEEWAY_SECONDS
    assert 0 < claims.exp - claims.iat <= LONGEST
    assert all(map(math.isfinite, (claims.exp, claims.iat)))
    readable = claims.readable()
    assert readable is None or all(map(_is_address, readable))
    assert (readable is None) == (claims.wallets == [ANY_WALLET])


def _is_address(text: str) -> bool:
    try:
        return WalletAddress.parse(text) == text
    except InvalidWallet:
        return False


@examples(250)
@given(
    mutated(
        st.just(json.dumps(RIGHT | {"iss": "us"}).encode()),
        (
            b"[" * 50,
            b'{"a":' * 50,
            b"1e400",
            b"9" * 400,
            b'"',
            b"\\u0000",
            b"\\ud800",
            b"\xff",
            b"null",
        ),
    )
)
@example(b"")
@example(b'{"zz":' + b"[" * 1200 + b"]" * 1200 + b"}")
@example(b'{"jti":"\x80"}')
@example(b'{"exp":' + b"9" * 3000 + b"}")
def test_a_signed_payload_that_is_no_json_or_too_much_of_it_is_refused(payload: bytes) -> None:
    _verified(_signed({"alg": "HS256"}, payload, SECRET.encode()))


@examples(250)
@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_=-]*\.[A-Za-z0-9_=-]*\.[A-Za-z0-9_=-]*"))
@example(_part(b'{"alg":"HS256","x":' + b"[" * 1400 + b"]" * 1400 + b"}") + ".e30.AAAA")
@example("..")
def test_a_made_up_token_is_refused(text: str) -> None:
    assert _verified(text) is None
