"""From the settings to a door, or to the keys behind it."""

import time
from collections.abc import Callable

from wd_server.access import issuers
from wd_server.access.authenticator import Authenticator
from wd_server.access.key_index import DefaultLimits
from wd_server.access.principal_resolver import AuthRules
from wd_server.access.quotas import LocalCounters
from wd_server.access.secret_file import signing_keys
from wd_server.access.store import AccessStore
from wd_server.access.tokens import TokenRules, Tokens
from wd_server.config.settings import InvalidSettings, Settings
from wd_server.embedded.keys import SqliteAccessStore
from wd_server.redis.counters import RedisCounters
from wd_server.redis.keys import RedisAccessStore
from wd_server.redis.link import RedisLink
from wd_server.tasks import Tasks

FILE_NAME = "access.db"


def redis_link(settings: Settings, tasks: Tasks | None = None) -> RedisLink | None:
    """For all that a process has in Redis; not open yet. None where REDIS_URL isn't set. Raises
    InvalidSettings (its TLS options)."""
    if settings.redis_url is None:
        return None
    try:
        return RedisLink(settings.redis_url, tasks)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or "wrong format"
        raise InvalidSettings(
            [f"REDIS_URL: a file that its TLS options name can't be used: {reason}."]
        ) from None


def authenticator(
    settings: Settings,
    clock: Callable[[], float],
    link: RedisLink | None = None,
    tasks: Tasks | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Authenticator:
    """Not open yet; `link` is open before it is, and closed after it. Raises InvalidSettings
    (JWT_KEYS_FILE), StoreUnavailable (no SECRET_KEY and no place to keep one)."""
    keys = signing_keys(settings)
    path = settings.jwt_keys_file
    rules = TokenRules(
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        max_seconds=settings.token_max_seconds,
        other_issuer=settings.jwt_issuer,
        other_keys=() if path is None else issuers.read(path),
    )
    return Authenticator(
        store(settings, link),
        LocalCounters(monotonic) if link is None else RedisCounters(link),
        keys,
        Tokens(keys, rules),
        AuthRules(
            required=settings.api_key_required,
            limits=DefaultLimits(
                settings.rate_limit_requests,
                settings.rate_limit_streaming_connections,
                settings.rate_limit_wallets,
            ),
            token_max_seconds=settings.token_max_seconds,
        ),
        clock,
        monotonic,
        tasks or Tasks(),
    )


def store(settings: Settings, link: RedisLink | None = None) -> AccessStore:
    """Not open yet."""
    if link is not None:
        return RedisAccessStore(link)
    return SqliteAccessStore(settings.data_dir / FILE_NAME)
