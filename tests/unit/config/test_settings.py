"""Settings: one frozen object from the environment, or one message that names all that's wrong."""

import copy
import dataclasses
import ipaddress
import json
import pickle
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server.config import settings
from wd_server.config.settings import VARIABLES, InvalidSettings, Rates, Settings
from wd_server.secret import Secret

ROOT = Path(__file__).parents[3]
PRODUCTION = {
    "ENV": "production",
    "HELIUS_KEY": "11111111-2222-3333-4444-555555555555",
    "SECRET_KEY": "s" * 32,
    "REDIS_URL": "redis://:hunter2hunter2@redis.internal:6379/0",
}
# Section 8 of the public contract.
PROMISED = frozenset(
    re.findall(
        r"\w+",
        """
    ENV HOST PORT HELIUS_KEY HELIUS_RPC_URL HELIUS_WS_URL SECRET_KEY REDIS_URL DATA_DIR
    API_KEY_REQUIRED ALLOWED_ORIGINS RATE_LIMIT_REQUESTS RATE_LIMIT_WALLETS
    RATE_LIMIT_STREAMING_CONNECTIONS
    SSE_KEEPALIVE_INTERVAL SSE_MAX_STREAM_DURATION SSE_BATCH_SIZE MAX_STREAMS MAX_WALLET_SIZE
    WRITE_TIMEOUT DRAIN_SECONDS STREAMING_ENABLED LOG_LEVEL LOG_FORMAT METRICS_ALLOW
    WEBHOOK_SECRET PRICE_SOURCE BIRDEYE_API_KEY COST_BASIS
""",
    )
)


def complaints(environ: dict[str, str], **overrides: object) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_environment(environ, **overrides)
    return caught.value.complaints


def test_development_needs_nothing() -> None:
    s = Settings.from_environment({})
    assert (s.env, s.host, s.port) == ("development", "127.0.0.1", 5000)
    assert (s.sse_keepalive_interval, s.write_timeout, s.drain_seconds) == (15, 60, 20)
    assert (s.rate_limit_requests, s.rate_limit_streaming_connections) == (50, 10)
    assert (s.rate_limit_wallets, s.max_wallet_size) == (200, 20_000)
    assert not s.api_key_required
    assert s.log_format == "text"
    assert s.data_dir == Path("data")
    assert s.helius_key is s.helius_rpc_url is s.helius_ws_url is s.redis_url is None
    assert s.secrets() == []


def test_every_promised_variable_is_read() -> None:
    assert not PROMISED - {v.name for v in VARIABLES}


def test_production_demands_its_key_its_secret_and_its_redis() -> None:
    found = complaints({"ENV": "production"})
    assert [text.split(":")[0] for text in found] == ["HELIUS_KEY", "SECRET_KEY", "REDIS_URL"]


def test_production_changes_defaults() -> None:
    s = Settings.from_environment(PRODUCTION)
    assert s.api_key_required
    assert s.log_format == "json"
    assert s.data_dir == Path("/var/lib/wd-server")


def test_what_is_set_comes_before_a_derived_default() -> None:
    s = Settings.from_environment(PRODUCTION | {"API_KEY_REQUIRED": "no", "LOG_FORMAT": "text"})
    assert not s.api_key_required
    assert s.log_format == "text"


def test_a_short_secret_key_is_refused_in_production_only() -> None:
    assert complaints(PRODUCTION | {"SECRET_KEY": "s" * 31}) == (
        "SECRET_KEY: needs 32 characters or more in production.",
    )
    assert Settings.from_environment({"SECRET_KEY": "short"}).secret_key == Secret("short")


def test_a_short_old_secret_key_is_refused_in_production_too() -> None:
    assert complaints(PRODUCTION | {"SECRET_KEY_OLD": "s" * 31}) == (
        "SECRET_KEY_OLD: needs 32 characters or more in production.",
    )


def test_an_old_secret_key_needs_the_one_that_came_after_it() -> None:
    (text,) = complaints({"SECRET_KEY_OLD": "old"})
    assert text.startswith("SECRET_KEY: ")
    assert Settings.from_environment({"SECRET_KEY_OLD": "old", "SECRET_KEY": "new"})


def test_public_keys_need_the_name_of_whose_they_are() -> None:
    (text,) = complaints({"JWT_KEYS_FILE": "keys.json"})
    assert text.startswith("JWT_ISSUER: ")
    s = Settings.from_environment({"JWT_KEYS_FILE": "keys.json", "JWT_ISSUER": "https://them/"})
    assert (s.jwt_keys_file, s.jwt_issuer) == (Path("keys.json"), "https://them/")


@pytest.mark.parametrize("text", ["two words", "x" * 201, "é", "a\x07b"])
def test_what_is_no_issuer_is_refused(text: str) -> None:
    assert complaints({"TOKEN_ISSUER": text})


def test_tokens_last_a_quarter_of_an_hour_unless_told_otherwise() -> None:
    s = Settings.from_environment({})
    assert (s.token_max_seconds, s.token_issuer, s.token_audience) == (
        900,
        "wd-server",
        "wd-server",
    )
    assert s.trusted_proxies == ()
    assert s.metrics_token is None


def test_every_wrong_value_is_named_in_one_message() -> None:
    environ = {
        "PORT": "http",
        "MAX_STREAMS": "0",
        "LOG_LEVEL": "loud",
        "STREAMING_ENABLED": "maybe",
    }
    found = complaints(environ)
    assert sorted(text.split(":")[0] for text in found) == sorted(environ)
    assert "PORT: 'http' is not a whole number from 0 to 65535." in found
    with pytest.raises(InvalidSettings, match="These settings are wrong") as caught:
        Settings.from_environment(environ)
    assert all(name in str(caught.value) for name in environ)


def test_a_wrong_value_in_production_is_named_once() -> None:
    assert len(complaints(PRODUCTION | {"HELIUS_KEY": "two words"})) == 1


@pytest.mark.parametrize(
    "name", ["HELIUS_KEY", "HELIUS_RPC_URL", "REDIS_URL", "WEBHOOK_SECRET", "METRICS_TOKEN"]
)
def test_a_wrong_secret_is_not_repeated(name: str) -> None:
    (text,) = complaints({name: "hunter2\x07 hunter2"})
    assert "hunter2" not in text


def test_variables_of_others_are_ignored() -> None:
    assert Settings.from_environment({"PATH": "/bin", "PORTS": "x"}) == (
        Settings.from_environment({})
    )


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.from_environment({v.name: "  " for v in VARIABLES}) == (
        Settings.from_environment({})
    )


def test_an_override_comes_before_the_environment() -> None:
    s = Settings.from_environment(
        {"PORT": "1", "HOST": "::1"}, port=0, host=None, data_dir=Path("x")
    )
    assert (s.port, s.host, s.data_dir) == (0, "::1", Path("x"))


def test_an_override_is_checked_like_a_variable() -> None:
    assert complaints({}, port=70000) == ("PORT: '70000' is not a whole number from 0 to 65535.",)


def test_an_override_may_be_a_secret() -> None:
    s = Settings.from_environment({}, helius_rpc_url=Secret("http://127.0.0.1:8899"))
    assert s.helius_rpc_url == Secret("http://127.0.0.1:8899")


def test_a_misspelt_override_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="prot"):
        Settings.from_environment({}, prot=1)


def test_settings_can_not_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.from_environment({}).port = 1  # type: ignore[misc]


@pytest.mark.parametrize("text", ["true", "1", "yes", "on", "TRUE", "On"])
def test_yes_has_many_words(text: str) -> None:
    assert Settings.from_environment({"API_KEY_REQUIRED": text}).api_key_required


@pytest.mark.parametrize("text", ["false", "0", "no", "off", "FALSE"])
def test_no_has_many_words(text: str) -> None:
    assert not Settings.from_environment({"STREAMING_ENABLED": text}).streaming_enabled


@pytest.mark.parametrize("text", ["-1", "1.5", "1e3", "0x10", "١٢", "1_000", "9" * 5000])
def test_only_plain_whole_numbers_are_numbers(text: str) -> None:
    assert len(complaints({"MAX_STREAMS": text})) == 1


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("PORT", 0, 65535),
        ("TOKEN_MAX_SECONDS", 1, 86_400),
        ("SSE_BATCH_SIZE", 1, 500),
        ("SSE_KEEPALIVE_INTERVAL", 1, 20),
        ("DRAIN_SECONDS", 0, 600),
    ],
)
def test_numbers_are_accepted_up_to_their_bounds(name: str, least: int, most: int) -> None:
    for right in (least, most):
        s = Settings.from_environment({name: str(right)})
        assert getattr(s, name.lower()) == right
    for wrong in (least - 1, most + 1):
        assert len(complaints({name: str(wrong)})) == 1


def test_the_rpc_and_its_websocket_follow_from_the_key() -> None:
    s = Settings.from_environment({"HELIUS_KEY": "abc-123"})
    assert s.helius_rpc_url == Secret("https://mainnet.helius-rpc.com/?api-key=abc-123")
    assert s.helius_ws_url == Secret("wss://mainnet.helius-rpc.com/?api-key=abc-123")


def test_the_websocket_follows_from_a_given_rpc() -> None:
    s = Settings.from_environment({"HELIUS_KEY": "abc", "HELIUS_RPC_URL": "http://127.0.0.1:8899/"})
    assert s.helius_ws_url == Secret("ws://127.0.0.1:8899/")


@pytest.mark.parametrize(
    "text",
    [
        "mainnet.helius-rpc.com",
        "ftp://example.org",
        "https://",
        "https://example.org:99999",
        "https://exa mple.org",
        "https://example.org/\n",
        "https://[::1",
    ],
)
def test_what_is_no_url_of_an_rpc_is_refused(text: str) -> None:
    environ = {"HELIUS_RPC_URL": f"{text}x" if text.endswith("\n") else text}
    assert complaints(environ)[0].startswith("HELIUS_RPC_URL")


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+cluster", "rediss+cluster"])
def test_redis_has_several_schemes(scheme: str) -> None:
    s = Settings.from_environment({"REDIS_URL": f"{scheme}://localhost:6379/0"})
    assert s.redis_url == Secret(f"{scheme}://localhost:6379/0")


def test_what_is_wrong_with_redis_is_said() -> None:
    (complaint,) = complaints({"REDIS_URL": "redis+cluster://:hunter2hunter2@redis.internal/1"})
    assert complaint.endswith("It names a database, and a Redis Cluster has only number 0.")
    assert "hunter2" not in complaint


def test_a_plan_stands_for_its_rates() -> None:
    assert Settings.from_environment({}).upstream_rates == Rates(rpc=10, das=2, connections=5)
    assert Settings.from_environment({"UPSTREAM_PLAN": "Business"}).upstream_rates == (200, 50, 250)


def test_birdeye_needs_its_key() -> None:
    assert complaints({"PRICE_SOURCE": "birdeye"}) == (
        "BIRDEYE_API_KEY: is needed when PRICE_SOURCE is birdeye.",
    )
    s = Settings.from_environment({"PRICE_SOURCE": "birdeye", "BIRDEYE_API_KEY": "k"})
    assert s.price_source == "birdeye"


def test_origins_are_as_browsers_send_them() -> None:
    s = Settings.from_environment(
        {"ALLOWED_ORIGINS": "https://Example.org:443, http://localhost:8080,http://[::1]:80"}
    )
    assert s.allowed_origins == ("https://example.org", "http://localhost:8080", "http://[::1]")


@pytest.mark.parametrize(
    "text",
    ["*", "null", "example.org", "https://example.org/", "https://a@b", "https://a?b", "a://b"],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    assert complaints({"ALLOWED_ORIGINS": f"https://example.org,{text}"})


def test_networks_are_addresses_and_blocks_of_both_kinds() -> None:
    s = Settings.from_environment({"METRICS_ALLOW": "10.0.0.0/8, 192.0.2.7,fd00::/8"})
    assert s.metrics_allow == tuple(
        map(ipaddress.ip_network, ("10.0.0.0/8", "192.0.2.7/32", "fd00::/8"))
    )
    assert complaints({"METRICS_ALLOW": "10.0.0.1/8"})


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "[::1]", "localhost", "node-1.example.org"])
def test_a_host_is_an_address_or_a_name(text: str) -> None:
    assert Settings.from_environment({"HOST": text}).host == text.strip("[]")


@pytest.mark.parametrize("text", ["256.1.1.1", "1.2.3", "a b", "-a", "http://a", "a" * 64])
def test_what_is_no_host_is_refused(text: str) -> None:
    assert complaints({"HOST": text})


def test_a_secret_is_never_shown() -> None:
    s = Settings.from_environment(PRODUCTION)
    shown = f"{s} {s!r} {s.helius_key} {s.helius_key:>10} {s.secret_key!r} {s.redis_url!s} "
    shown += json.dumps({"key": s.helius_key, "url": s.helius_rpc_url}, default=str)
    assert "***" in shown
    for secret in s.secrets():
        assert secret.reveal() not in shown


def test_encoders_and_copies_refuse_a_secret() -> None:
    secret = Secret("hunter2")
    for write in (json.dumps, msgspec.json.encode, pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            write(secret)


def test_secrets_are_equal_when_their_texts_are() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_keys_inside_urls_count_as_secrets() -> None:
    s = Settings.from_environment(
        {
            "HELIUS_RPC_URL": "https://rpc.example.org/v2/pathkey-0123456789/?token=query-0123456789",
            "REDIS_URL": "redis://user:pa55word@localhost",
        }
    )
    texts = {secret.reveal() for secret in s.secrets()}
    assert {"pathkey-0123456789", "query-0123456789", "pa55word"} <= texts


def test_the_page_of_settings_is_what_the_code_says() -> None:
    assert (ROOT / "docs/settings.md").read_text() == settings.page(), "run `make docs`"


def test_the_example_of_settings_is_what_the_code_says() -> None:
    assert (ROOT / "conf/env.example").read_text() == settings.example(), "run `make docs`"


def test_the_example_is_right_once_production_s_needs_are_filled_in() -> None:
    lines = settings.example().splitlines()
    environ = dict(line.lstrip("#").split("=", 1) for line in lines if "=" in line.split(" ")[0])
    assert set(environ) == {v.name for v in VARIABLES}
    Settings.from_environment(environ | PRODUCTION)


@given(st.dictionaries(st.sampled_from([v.name for v in VARIABLES]), st.text(max_size=40)))
def test_any_text_is_either_read_or_complained_about(environ: dict[str, str]) -> None:
    try:
        s = Settings.from_environment(environ)
    except InvalidSettings as error:
        named = {text.split(":")[0] for text in error.complaints}
    else:
        named = set()
        assert 0 <= s.port <= 65535
    assert named <= {v.name for v in VARIABLES}
