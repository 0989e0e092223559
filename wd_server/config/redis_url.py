"""REDIS_URL, read: one server, a Cluster, or what Sentinels watch; each also with TLS. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from wd_server.config.variables import Kind, Wrong
from wd_server.secret import Secret

# Of a database's number: nobody has ten thousand.
DATABASE_DIGITS = 4
# By redis-py's names. Without any, certificates are checked against the system's authorities.
TLS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_certfile", "ssl_cert_reqs", "ssl_check_hostname", "ssl_keyfile"}
)
_CERT_REQS: Final = ("required", "optional", "none")
_YES_NO: Final = {"true": True, "false": False}


class RedisKind(Enum):
    """The scheme's end and the port that is meant where none stands."""

    SERVER = ("", 6379)
    CLUSTER = ("+cluster", 6379)
    SENTINEL = ("+sentinel", 26379)


SCHEMES: Final = {
    f"{beginning}{kind.value[0]}": (kind, beginning == "rediss")
    for kind in RedisKind
    for beginning in ("redis", "rediss")
}

_BEGINNINGS: Final = [f"{scheme}://" for scheme in SCHEMES]


@dataclass(frozen=True)
class RedisUrl:
    """`hosts` with their ports: the server, some of a Cluster, or Sentinels. `service` is what
    Sentinels call what they watch. `tls`: None, or redis-py's options of it."""

    kind: RedisKind
    hosts: tuple[tuple[str, int], ...]
    username: str
    password: Secret
    database: int
    service: str
    tls: Mapping[str, Any] | None
    sentinel_password: Secret = field(default=Secret(""))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises Wrong."""
        parts = _split(text)
        kind, secure = SCHEMES[parts.scheme]
        login, _, hosts = parts.netloc.rpartition("@")
        username, _, password = login.partition(":")
        path = unquote(parts.path.strip("/"))
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        sentinel_password = query.pop("sentinel_password", "")
        if sentinel_password and kind is not RedisKind.SENTINEL:
            raise Wrong("has a sentinel_password, and no Sentinels")
        return cls(
            kind,
            _hosts(hosts, kind),
            unquote(username),
            Secret(unquote(password)),
            _database(path, kind),
            _service(path) if kind is RedisKind.SENTINEL else "",
            _tls(query, secure),
            Secret(sentinel_password),
        )


def kind() -> Kind[Secret]:
    """Of the setting."""

    def parse(text: str) -> Secret:
        RedisUrl.parse(text)
        return Secret(text)

    return Kind(f"a URL that begins with {' or '.join(_BEGINNINGS)}", parse, confidential=True)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise Wrong("has brackets that hold no address") from None
    if parts.scheme not in SCHEMES:
        raise Wrong("begins otherwise")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise Wrong("has characters that stand in no URL")
    if parts.fragment:
        raise Wrong("has a # that is to be written %23")
    return parts


def _hosts(text: str, kind: RedisKind) -> tuple[tuple[str, int], ...]:
    hosts = text.split(",")
    if len(hosts) > 1 and kind is RedisKind.SERVER:
        raise Wrong("names several hosts, which only a Cluster or Sentinels have")
    return tuple(_host(host, kind.value[1]) for host in hosts)


def _host(text: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        found = (parts.hostname, port if parts.port is None else parts.port)
    except ValueError:
        raise Wrong("has a host or a port that is none") from None
    if not found[0] or not found[1]:
        raise Wrong("has to name a host" if found[1] else "has a host or a port that is none")
    return found[0], found[1]


def _database(path: str, kind: RedisKind) -> int:
    if not path or kind is RedisKind.SENTINEL:
        return 0
    if not (path.isascii() and path.isdigit() and len(path) <= DATABASE_DIGITS):
        raise Wrong("may end with nothing but the number of a database")
    if kind is RedisKind.CLUSTER and int(path):
        raise Wrong("names a database, and a Redis Cluster has only number 0")
    return int(path)


def _service(path: str) -> str:
    if not path or "/" in path:
        raise Wrong("has to end with the service that the Sentinels watch: host:port/service")
    return path


def _tls(query: Mapping[str, str], secure: bool) -> Mapping[str, Any] | None:
    unknown = query.keys() - TLS_OPTIONS
    if unknown:
        raise Wrong(f"has options other than {', '.join(sorted(TLS_OPTIONS))}")
    if query and not secure:
        raise Wrong("has options of TLS, which only rediss:// has")
    if query.get("ssl_cert_reqs", _CERT_REQS[0]) not in _CERT_REQS:
        raise Wrong(f"has an ssl_cert_reqs that isn't one of {', '.join(_CERT_REQS)}")
    if query.get("ssl_check_hostname", "true") not in _YES_NO:
        raise Wrong("has an ssl_check_hostname that is neither true nor false")
    if not secure:
        return None
    options: dict[str, Any] = dict(query)
    if "ssl_check_hostname" in query:
        options["ssl_check_hostname"] = _YES_NO[query["ssl_check_hostname"]]
    return options
