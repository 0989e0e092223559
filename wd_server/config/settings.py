"""What an operator may set: every environment variable, read once, as one frozen object.

The fields of `Settings` are the table; reading, checking and `docs/settings.md` follow from it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from wd_server.config import redis_url
from wd_server.config import variables as variable
from wd_server.config.variables import Derived, Kind, Network, Others, Variable
from wd_server.secret import Secret

# HMAC-SHA256 wants a key at least as long as its output (RFC 7518, section 3.2).
SECRET_KEY_LEAST_CHARS = 32
# Parts of a URL from this length on are taken for a key of the upstream; the shortest seen has 32.
KEY_LEAST_CHARS = 16
DAY = 86_400  # seconds
# Of issuers and audiences, which are names or URLs: each token carries them.
NAME_CHARS = 200

T = TypeVar("T")


class Rates(NamedTuple):
    """Requests a second of the upstream's two groups. DAS: assets, and what else counts there.
    `connections`: WebSockets at a time."""

    rpc: int
    das: int
    connections: int


# As published in autumn 2026.
PLANS: Final = {
    "free": Rates(10, 2, 5),
    "developer": Rates(50, 10, 150),
    "business": Rates(200, 50, 250),
    "professional": Rates(500, 100, 1000),
}


class InvalidSettings(Exception):
    """`complaints`: one sentence for each wrong variable."""

    def __init__(self, complaints: Iterable[str]) -> None:
        self.complaints = tuple(complaints)
        listed = "\n".join(f"  {complaint}" for complaint in self.complaints)
        super().__init__(f"These settings are wrong:\n{listed}")


def setting(kind: Kind[T], default: str | Derived, meaning: str) -> T:
    """A row of the table that always has a value."""
    row: T = field(metadata={"kind": kind, "default": default, "meaning": meaning})
    return row


def optional(
    kind: Kind[T], default: Derived | None, meaning: str, *, needed_in_production: bool = False
) -> T | None:
    """A row of the table that may be None."""
    row: T | None = field(
        metadata={
            "kind": kind,
            "default": default,
            "meaning": meaning,
            "needed_in_production": needed_in_production,
        }
    )
    return row


def _by_environment(production: str, development: str) -> Derived:
    return Derived(
        f"`{production}` in production, else `{development}`",
        lambda others: production if others["env"] == "production" else development,
    )


def _rpc_url(others: Others) -> str | None:
    key = others["helius_key"]
    return f"https://mainnet.helius-rpc.com/?api-key={key.reveal()}" if key else None


def _api_url(others: Others) -> str | None:
    key = others["helius_key"]
    return f"https://api.helius.xyz/?api-key={key.reveal()}" if key else None


def _ws_url(others: Others) -> str | None:
    url = others["helius_rpc_url"]
    return "ws" + url.reveal().removeprefix("http") if url else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """In the order in which they are read: a derived default looks at those before it. Times are
    in seconds unless the meaning says otherwise."""

    env: Literal["development", "production"] = setting(
        variable.one_of("development", "production"),
        "development",
        "`production` demands what a public server can't do without.",
    )
    host: str = setting(variable.host(), "127.0.0.1", "Address to listen on.")
    port: int = setting(
        variable.whole(0, 65535), "5000", "Port to listen on; 0 takes any that is free."
    )
    helius_key: Secret | None = optional(
        variable.key(), None, "API key of the Solana RPC.", needed_in_production=True
    )
    helius_rpc_url: Secret | None = optional(
        variable.url("https", "http"),
        Derived("Helius' mainnet with `HELIUS_KEY`", _rpc_url),
        "Any Solana RPC, with its key if it takes one in the URL.",
    )
    helius_ws_url: Secret | None = optional(
        variable.url("wss", "ws"),
        Derived("`HELIUS_RPC_URL` as `wss://` or `ws://`", _ws_url),
        "The same RPC's WebSocket.",
    )
    helius_api_url: Secret | None = optional(
        variable.url("https", "http"),
        Derived("Helius' API with `HELIUS_KEY`", _api_url),
        "Where `wd-webhook` manages the webhook.",
    )
    upstream_plan: Literal["free", "developer", "business", "professional"] = setting(
        variable.one_of(*PLANS),
        "free",
        "Whose rate limits to keep: "
        + ", ".join(f"{name} {rates.rpc} and {rates.das}" for name, rates in PLANS.items())
        + " (RPC and DAS requests a second).",
    )
    # Ten million are the monthly credits of a common plan; a day's budget is far below the largest.
    upstream_daily_credits: int = setting(
        variable.whole(0, 1_000_000_000),
        "0",
        "Credits that the service may spend on a day (UTC), all its processes and restarts "
        "together; 0: no limit. At 95 % of it wallets aren't followed any more, at all of it "
        "nothing is asked.",
    )
    secret_key: Secret | None = optional(
        variable.secret(),
        None,
        f"Signs tokens and hashes keys; {SECRET_KEY_LEAST_CHARS} characters or more in production. "
        "In development one is made and kept in `DATA_DIR`.",
        needed_in_production=True,
    )
    secret_key_old: Secret | None = optional(
        variable.secret(),
        None,
        "The `SECRET_KEY` before the present one: what was made with it stays valid.",
    )
    redis_url: Secret | None = optional(
        redis_url.kind(),
        None,
        "What several nodes share: one server (`redis://user:password@host:6379/0`), a Cluster by "
        "some of its members (`redis+cluster://host:6379,host:6379`), or what Sentinels watch "
        "(`redis+sentinel://host:26379,host:26379/service`).",
        needed_in_production=True,
    )
    data_dir: Path = setting(
        variable.path(),
        _by_environment("/var/lib/wd-server", "data"),
        "Folder of the embedded journal, of keys and of the day's credits, where `REDIS_URL` isn't "
        "set.",
    )
    api_key_required: bool = setting(
        variable.yes_no(),
        _by_environment("true", "false"),
        "Whether callers need a key or a token.",
    )
    token_issuer: str = setting(
        variable.name(NAME_CHARS), "wd-server", "`iss` of tokens that are signed with `SECRET_KEY`."
    )
    token_audience: str = setting(
        variable.name(NAME_CHARS), "wd-server", "`aud` that every token must have."
    )
    # A token can't be taken back where nobody knows its `jti`: a day is the longest it may last.
    token_max_seconds: int = setting(
        variable.whole(1, DAY), "900", "The longest that a token may be valid, whoever issued it."
    )
    jwt_keys_file: Path | None = optional(
        variable.file(),
        None,
        "Public keys of another issuer of tokens: one in PEM, or a JWKS. RS256, ES256, EdDSA.",
    )
    jwt_issuer: str | None = optional(
        variable.name(NAME_CHARS), None, "`iss` of that issuer's tokens."
    )
    trusted_proxies: tuple[Network, ...] = setting(
        variable.networks(),
        "",
        "Networks whose `X-Forwarded-For` is believed, separated by commas.",
    )
    allowed_origins: tuple[str, ...] = setting(
        variable.origins(),
        "",
        "Web origins that may read from a browser (CORS), separated by commas.",
    )
    # 0 is for load tests; a million a minute is beyond what one process answers.
    rate_limit_requests: int = setting(
        variable.whole(0, 1_000_000), "50", "Requests a minute for a key or address; 0: no limit."
    )
    # A first read costs some ten credits and up to some hundred calls: 200 are what the smallest
    # plan gets done in a minute.
    rate_limit_wallets: int = setting(
        variable.whole(0, 1_000_000),
        "200",
        "Wallets a minute for a key or address that have to be read for the first time or that "
        "nobody follows; 0: no limit.",
    )
    rate_limit_streaming_connections: int = setting(
        variable.whole(0, 1_000_000), "10", "Open streams of a key or address; 0: no limit."
    )
    # A client that vanished shows by a heartbeat that stays unacknowledged for 70 s, and the
    # contract gives 90 s to find it.
    sse_keepalive_interval: int = setting(
        variable.whole(1, 20),
        "15",
        "Silence after which a heartbeat is sent, where a stream asks for no other.",
    )
    sse_max_stream_duration: int = setting(
        variable.whole(0, 7 * DAY),
        "0",
        "Each stream ends at 80 to 100 % of it and its client reconnects; 0: no limit.",
    )
    # As wide as the query's `batch`.
    sse_batch_size: int = setting(
        variable.whole(1, 500),
        "1",
        "Trades an event where the query has no `batch`; 1 sends each as a `trade` of its own.",
    )
    # Beyond it, one process runs out of processor before it runs out of memory.
    max_streams: int = setting(
        variable.whole(1, 1_000_000),
        "100000",
        "Open streams of this process; its limit of open files bounds them as well.",
    )
    # A sync pass holds the signatures of a wallet in memory, about 200 bytes each.
    max_wallet_size: int = setting(
        variable.whole(1, 1_000_000),
        "20000",
        "Transactions of a wallet that are analysed; beyond it, `complete` says `truncated`.",
    )
    # In less than 5 s a phone that changes its network would be sent away as slow; after more than
    # 60 the kernel would drop the client first, without a word (streaming/client.py).
    write_timeout: int = setting(
        variable.whole(5, 60),
        "60",
        "How long a client may take nothing of what waits for it before it is closed.",
    )
    # systemd kills after 90 s (TimeoutStopSec) unless told otherwise; longer drains need that too.
    drain_seconds: int = setting(
        variable.whole(0, 600), "20", "Time to say goodbye to all streams on SIGTERM."
    )
    streaming_enabled: bool = setting(
        variable.yes_no(), "true", "`false` refuses streams; everything else is served."
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        variable.one_of("debug", "info", "warning", "error"), "info", "The least that is logged."
    )
    log_format: Literal["json", "text"] = setting(
        variable.one_of("json", "text"),
        _by_environment("json", "text"),
        "`json`: an object a line. `text`: for the eye.",
    )
    metrics_allow: tuple[Network, ...] = setting(
        variable.networks(),
        "",
        "Networks that may read `/metrics` besides loopback, separated by commas.",
    )
    metrics_token: Secret | None = optional(
        variable.secret(),
        None,
        "Whoever sends it as `Authorization: Bearer` may read `/metrics` from anywhere.",
    )
    webhook_secret: Secret | None = optional(
        variable.secret(), None, "What webhook deliveries carry in `Authorization`."
    )
    price_source: Literal["none", "defillama", "birdeye"] = setting(
        variable.one_of("none", "defillama", "birdeye"),
        "defillama",
        "Where SOL's USD price comes from. `none`: P&L in SOL only.",
    )
    price_url: Secret | None = optional(
        variable.url("https", "http"),
        None,
        "Another base URL for the price source, as for a proxy or a test.",
    )
    birdeye_api_key: Secret | None = optional(
        variable.key(), None, "Needed for `PRICE_SOURCE=birdeye`."
    )
    cost_basis: Literal["fifo", "average"] = setting(
        variable.one_of("fifo", "average"),
        "fifo",
        "What a sold token has cost: the oldest lots', or the position's average.",
    )
    journal_days: int = setting(
        variable.whole(1, 3650), "30", "Days after its last event that a wallet's journal is kept."
    )
    run_linger: int = setting(
        variable.whole(0, 3600),
        "30",
        "How long a wallet is still read when its last client has left.",
    )
    # Less than a second would outrun the free plan with ten wallets.
    poll_seconds: int = setting(
        variable.whole(1, 3600),
        "3",
        "Time between two looks for new trades of a followed wallet, a quarter more or less, and "
        "longer when there are more wallets than the plan allows; each costs a credit.",
    )
    # A transaction is final some 13 seconds after it is confirmed.
    check_seconds: int = setting(
        variable.whole(1, 3600),
        "30",
        "Time after which transactions that were pushed are held against the wallet's history, "
        "which shows what was missed and what has left the chain; each costs as much as a look.",
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **overrides: object) -> Self:
        """Read `environ`; `overrides`, named like the fields, come first, and None is none.

        An empty text counts as not set. Variables that aren't ours are ignored. Raises
        InvalidSettings, which names everything that is wrong at once.
        """
        unknown = overrides.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise TypeError(f"No such setting: {', '.join(sorted(unknown))}.")
        values: dict[str, Any] = {}
        complaints: dict[str, str] = {}
        for v in VARIABLES:
            name = v.name.lower()
            given = overrides.get(name)
            text = environ.get(v.name, "").strip() if given is None else _text(given)
            if not text:
                text = v.default_text(values) or ""
            try:
                values[name] = v.kind.parse(text) if text or v.default == "" else None
            except ValueError as error:
                complaints[v.name] = v.complaint(text, error)
                values[name] = _fallback(v, values)
        complaints = dict(_contradictions(values)) | complaints
        if complaints:
            raise InvalidSettings(complaints.values())
        return cls(**values)

    @property
    def upstream_rates(self) -> Rates:
        return PLANS[self.upstream_plan]

    def secrets(self) -> list[Secret]:
        """Everything that must not be seen anywhere, and what of a URL is likely to be a key."""
        found = [v for f in fields(self) if isinstance(v := getattr(self, f.name), Secret)]
        return found + [part for secret in found for part in _url_secrets(secret.reveal())]


VARIABLES: Final[tuple[Variable, ...]] = tuple(
    Variable(f.name.upper(), **f.metadata) for f in fields(Settings)
)


def _text(given: object) -> str:
    return given.reveal() if isinstance(given, Secret) else str(given)


def _fallback(v: Variable, values: Others) -> object:
    """Something to go on with after a wrong value, so that later ones are looked at too."""
    text = v.default_text(values)
    return v.kind.parse(text) if text else None


def _contradictions(values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Names and complaints about values that are right alone and wrong together."""
    if values["env"] == "production":
        for v in VARIABLES:
            if v.needed_in_production and values[v.name.lower()] is None:
                yield v.name, f"{v.name}: is needed when ENV is production. {v.meaning}"
        for name in ("SECRET_KEY", "SECRET_KEY_OLD"):
            key = values[name.lower()]
            if key and len(key.reveal()) < SECRET_KEY_LEAST_CHARS:
                least = SECRET_KEY_LEAST_CHARS
                yield name, f"{name}: needs {least} characters or more in production."
    if values["price_source"] == "birdeye" and values["birdeye_api_key"] is None:
        name = "BIRDEYE_API_KEY"
        yield name, f"{name}: is needed when PRICE_SOURCE is birdeye."
    if values["jwt_keys_file"] is not None and values["jwt_issuer"] is None:
        yield "JWT_ISSUER", "JWT_ISSUER: is needed with JWT_KEYS_FILE: whose keys these are."
    if values["secret_key_old"] is not None and values["secret_key"] is None:
        yield "SECRET_KEY", "SECRET_KEY: is needed with SECRET_KEY_OLD, which it comes after."


def _url_secrets(text: str) -> Iterable[Secret]:
    parts = urlsplit(text)
    if not parts.scheme or not parts.netloc:
        return
    if parts.password:
        yield from map(Secret, {parts.password, unquote(parts.password)})
    pieces = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    yield from (Secret(piece) for piece in pieces if len(piece) >= KEY_LEAST_CHARS)


def page() -> str:
    """`docs/settings.md`: all settings as a table."""
    return variable.page(VARIABLES)


def example() -> str:
    """`conf/env.example`: all settings, commented out but for what production needs."""
    return variable.example(VARIABLES)
