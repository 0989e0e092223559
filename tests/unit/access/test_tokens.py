"""Tokens: only what a known key signed, with the algorithm of that key, is believed."""

import base64
import hashlib
import hmac
import json
from typing import Any

import issuer
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server.access import issuers
from wd_server.access.keys import SigningKeys
from wd_server.access.tokens import LEEWAY_SECONDS, TokenRules, Tokens
from wd_server.errors import InvalidKey, NotAuthenticated, TokenExpired
from wd_server.secret import Secret

NOW = 1_700_000_000.75
WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
SECRET, OLD = Secret("c" * 32), Secret("o" * 32)
PEM = issuer.public_pem(issuer.RSA_KEY)
OTHERS = issuers.parse(
    issuer.jwks(
        issuer.public_jwk(issuer.RSA_KEY, kid="r"),
        issuer.public_jwk(issuer.EC_KEY, kid="e"),
        issuer.public_jwk(issuer.ED_KEY),
    )
)
RULES = TokenRules(
    issuer="us", audience="here", max_seconds=900, other_issuer="them", other_keys=OTHERS
)
TOKENS = Tokens(SigningKeys(SECRET), RULES)


def claims(**changes: Any) -> dict[str, Any]:
    """Right ones of ours; a change to None leaves one out."""
    right: dict[str, Any] = {
        "iss": "us",
        "aud": "here",
        "sub": "someone",
        "iat": int(NOW),
        "exp": int(NOW) + 900,
        "jti": "jti-1",
        "wallets": [WALLET],
    }
    return {name: value for name, value in (right | changes).items() if value is not None}


def ours(**changes: Any) -> Secret:
    return Secret(jwt.encode(claims(**changes), SECRET.reveal(), "HS256"))


def theirs(algorithm: str, kid: str | None = None, **changes: Any) -> Secret:
    header = {} if kid is None else {"kid": kid}
    return Secret(issuer.signed(claims(iss="them", **changes), algorithm, **header))


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def forged(header: Any, payload: Any, secret: bytes) -> Secret:
    """Signed by hand, as no library lets one do it."""
    text = f"{part(header)}.{part(payload)}"
    return Secret(f"{text}.{part(hmac.digest(secret, text.encode(), hashlib.sha256))}")


def refused(token: Secret, tokens: Tokens = TOKENS) -> str:
    with pytest.raises(InvalidKey) as caught:
        tokens.verify(token, NOW)
    assert token.reveal() not in str(caught.value)
    return str(caught.value)


def issued(tokens: Tokens = TOKENS, **changes: Any) -> Secret:
    asked: dict[str, Any] = {
        "subject": "key:wd_1",
        "key_id": "wd_1",
        "wallets": {WALLET},
        "seconds": 60,
        "max_streams": 2,
        "now": NOW,
    }
    return tokens.issue(**asked | changes).token


def test_what_was_issued_says_what_was_asked_for() -> None:
    found = TOKENS.issue(
        subject="s", key_id="wd_1", wallets={WALLET}, seconds=60, max_streams=2, now=NOW
    )
    said = TOKENS.verify(found.token, NOW)
    assert (said.iss, said.aud, said.sub, said.key) == ("us", "here", "s", "wd_1")
    assert (said.jti, said.exp, said.iat) == (found.jti, found.expires_at, int(NOW))
    assert found.expires_at == int(NOW) + 60
    assert (said.readable(), said.max_streams) == (frozenset({WALLET}), 2)
    header = jwt.get_unverified_header(found.token.reveal())
    assert (header["alg"], header["typ"]) == ("HS256", "JWT")


def test_every_token_has_an_id_of_its_own_that_a_command_line_takes() -> None:
    names = {TOKENS.verify(issued(), NOW).jti for _ in range(1000)}
    assert len(names) == 1000
    assert all(name.isalnum() for name in names)


def test_any_wallet_is_a_star_alone() -> None:
    assert TOKENS.verify(issued(wallets=["*"]), NOW).readable() is None
    assert "wallets" in refused(ours(wallets=["*", WALLET]))


def test_who_has_the_secret_key_may_issue_tokens_too() -> None:
    assert TOKENS.verify(ours(), NOW).key is None
    assert TOKENS.verify(ours(aud=["there", "here"]), NOW).sub == "someone"


@pytest.mark.parametrize(("algorithm", "kid"), [("RS256", "r"), ("ES256", "e"), ("EdDSA", "any")])
def test_another_issuer_is_believed_by_its_public_keys(algorithm: str, kid: str) -> None:
    assert TOKENS.verify(theirs(algorithm, kid), NOW).iss == "them"
    assert TOKENS.verify(theirs(algorithm), NOW).iss == "them"
    assert TOKENS.verify(theirs(algorithm, wallets=["*"]), NOW).readable() is None


def test_a_token_of_another_key_than_it_names_is_refused() -> None:
    refused(theirs("RS256", kid="e"))
    refused(Secret(jwt.encode(claims(), SECRET.reveal(), "HS256", headers={"kid": "r"})))


def test_an_issuer_can_not_speak_for_another() -> None:
    assert "iss" in refused(ours(iss="them"))
    assert "iss" in refused(Secret(issuer.signed(claims(), "RS256")))


def test_a_public_key_is_no_shared_secret() -> None:
    for text in (PEM, PEM.strip(), json.dumps(issuer.public_jwk(issuer.RSA_KEY))):
        for kid in ({}, {"kid": "r"}):
            for who in ("us", "them"):
                header = {"alg": "HS256", "typ": "JWT", **kid}
                refused(forged(header, claims(iss=who), text.encode()))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, 1, ["HS256"], {}])
def test_a_token_without_a_real_algorithm_is_refused(algorithm: Any) -> None:
    text = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims())}."
    refused(Secret(text))
    refused(forged({"alg": algorithm}, claims(), SECRET.reveal().encode()))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_the_secret_key_is_for_one_algorithm_only(algorithm: str) -> None:
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        refused(Secret(jwt.encode(claims(), SECRET.reveal(), algorithm)))


def test_other_algorithms_of_a_public_key_are_refused() -> None:
    for algorithm in ("RS384", "RS512", "PS256"):
        refused(Secret(jwt.encode(claims(iss="them"), issuer.RSA_KEY, algorithm)))


def test_without_public_keys_only_the_secret_key_signs() -> None:
    alone = Tokens(SigningKeys(SECRET), TokenRules("us", "here", 900))
    assert alone.verify(ours(), NOW)
    for algorithm in issuer.SIGNING:
        refused(theirs(algorithm), alone)
        refused(Secret(issuer.signed(claims(iss=""), algorithm)), alone)


def test_a_key_inside_the_token_is_not_listened_to() -> None:
    header = {"alg": "RS256", "jwk": issuer.public_jwk(issuer.SMALL_RSA_KEY), "jku": "http://x"}
    key = issuer.SMALL_RSA_KEY
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        text = jwt.encode(claims(iss="them"), key, "RS256", headers=header)
    refused(Secret(text))


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": False}])
def test_extensions_that_must_be_understood_are_refused(header: dict[str, Any]) -> None:
    refused(forged({"alg": "HS256", **header}, claims(), SECRET.reveal().encode()))


def test_a_changed_token_is_refused() -> None:
    header, payload, signature = issued().reveal().split(".")
    wider = part(claims(wallets=["*"]))
    for text in (
        f"{header}.{wider}.{signature}",
        f"{header}.{payload}.{signature[:-2]}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature}.{signature}",
        f"{header}..{signature}",
        f" {header}.{payload}.{signature}",
        f"{header}.{payload}.{signature}\n",
    ):
        refused(Secret(text))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp", "iat", "jti", "wallets"])
def test_every_claim_is_needed(name: str) -> None:
    assert name in refused(ours(**{name: None}))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "elsewhere"},
        {"aud": []},
        {"aud": ["elsewhere"]},
        {"sub": ""},
        {"sub": 5},
        {"sub": "s" * 201},
        {"jti": ""},
        {"jti": "j" * 201},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": int(NOW) + 901},
        {"exp": 10**400},
        {"exp": int(NOW) - 5, "iat": int(NOW)},
        {"iat": int(NOW) + LEEWAY_SECONDS + 2, "exp": int(NOW) + 100},
        {"nbf": int(NOW) + LEEWAY_SECONDS + 2},
        {"wallets": []},
        {"wallets": WALLET},
        {"wallets": [WALLET] * 51},
        {"wallets": ["not an address"]},
        {"wallets": [WALLET, None]},
        {"max_streams": 0},
        {"max_streams": -1},
        {"max_streams": "many"},
        {"max_streams": True},
        {"key": 5},
    ],
)
def test_wrong_claims_are_refused(changes: dict[str, Any]) -> None:
    refused(ours(**changes))


def test_claims_that_are_no_object_are_refused() -> None:
    for payload in (b"", b"[]", b"null", b"\xff", b'{"a":1', b"[" * 1000):
        refused(forged({"alg": "HS256"}, payload, SECRET.reveal().encode()))


def test_times_that_are_no_numbers_of_json_are_refused() -> None:
    text = json.dumps(claims(exp=0)).replace('"exp": 0', '"exp": NaN').encode()
    refused(forged({"alg": "HS256"}, text, SECRET.reveal().encode()))
    text = json.dumps(claims(exp=0)).replace('"exp": 0', '"exp": 1e400').encode()
    refused(forged({"alg": "HS256"}, text, SECRET.reveal().encode()))


def test_a_token_is_valid_until_its_end_and_a_little_longer() -> None:
    token, ends_at = issued(seconds=60), int(NOW) + 60
    assert TOKENS.verify(token, ends_at + LEEWAY_SECONDS - 0.5)
    with pytest.raises(TokenExpired) as caught:
        TOKENS.verify(token, ends_at + LEEWAY_SECONDS)
    assert caught.value.code == "TOKEN_EXPIRED"


def test_a_clock_that_is_a_little_ahead_is_no_mistake() -> None:
    assert TOKENS.verify(ours(iat=int(NOW) + 2, exp=int(NOW) + 100), NOW)


def test_tokens_of_the_old_secret_key_are_valid_while_it_is_named() -> None:
    token = issued(Tokens(SigningKeys(OLD), RULES))
    assert Tokens(SigningKeys(SECRET, OLD), RULES).verify(token, NOW)
    refused(token)
    unnamed = Secret(jwt.encode(claims(), OLD.reveal(), "HS256"))
    assert Tokens(SigningKeys(SECRET, OLD), RULES).verify(unnamed, NOW)


def test_a_short_secret_key_of_development_signs_as_it_stands() -> None:
    tokens = Tokens(SigningKeys(Secret("short")), RULES)
    assert tokens.verify(issued(tokens), NOW)
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        jwt.decode(
            issued(tokens).reveal(),
            "short",
            ["HS256"],
            options={"verify_exp": False},
            audience="here",
        )


def test_the_largest_token_that_is_issued_is_taken() -> None:
    wallets = [
        WALLET[:-1] + letter for letter in "12345678abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQR"
    ]
    token = issued(wallets=[*wallets, WALLET])
    assert len(token.reveal()) <= 4096


@given(st.text() | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_no_text_is_a_token_by_chance(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        TOKENS.verify(Secret(text), NOW)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk"]), ANY_JSON),
    ANY_JSON,
    st.binary(max_size=40),
)
def test_no_header_gets_a_wrong_signature_through(header: Any, payload: Any, secret: bytes) -> None:
    with pytest.raises(NotAuthenticated):
        TOKENS.verify(forged(header, payload, secret), NOW)
    with pytest.raises(NotAuthenticated):
        TOKENS.verify(forged({"alg": "HS256"} | header, claims(), secret), NOW)


@given(st.dictionaries(st.sampled_from(sorted(claims())), ANY_JSON, min_size=1))
def test_any_claims_are_understood_or_refused(changes: dict[str, Any]) -> None:
    token = forged({"alg": "HS256"}, claims() | changes, SECRET.reveal().encode())
    try:
        said = TOKENS.verify(token, NOW)
    except NotAuthenticated:
        return
    assert said.exp - said.iat <= 900
    assert said.iss == "us"
