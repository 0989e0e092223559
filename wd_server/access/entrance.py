"""From the settings to a door, or to the keys behind it."""

from collections.abc import Callable

from wd_server.access import issuers
from wd_server.access.door import Door
from wd_server.access.quotas import Counters, LocalCounters
from wd_server.access.recognition import DoorRules
from wd_server.access.redis_counters import RedisCounters
from wd_server.access.redis_store import RedisAccessStore
from wd_server.access.roster import DefaultLimits
from wd_server.access.secret_file import signing_keys
from wd_server.access.sqlite_store import SqliteAccessStore
from wd_server.access.store import AccessStore
from wd_server.access.tokens import TokenRules, Tokens
from wd_server.settings import Settings

FILE_NAME = "access.db"


def door(settings: Settings, clock: Callable[[], float]) -> Door:
    """Not open yet. Raises InvalidSettings (JWT_KEYS_FILE), StoreUnavailable (no SECRET_KEY and no
    place to keep one)."""
    keys = signing_keys(settings)
    path = settings.jwt_keys_file
    rules = TokenRules(
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        max_seconds=settings.token_max_seconds,
        other_issuer=settings.jwt_issuer,
        other_keys=() if path is None else issuers.read(path),
    )
    return Door(
        store(settings),
        _counters(settings),
        keys,
        Tokens(keys, rules),
        DoorRules(
            required=settings.api_key_required,
            limits=DefaultLimits(
                settings.rate_limit_requests, settings.rate_limit_streaming_connections
            ),
            token_max_seconds=settings.token_max_seconds,
        ),
        clock,
    )


def store(settings: Settings) -> AccessStore:
    """Not open yet."""
    if settings.redis_url is not None:
        return RedisAccessStore(settings.redis_url)
    return SqliteAccessStore(settings.data_dir / FILE_NAME)


def _counters(settings: Settings) -> Counters:
    if settings.redis_url is not None:
        return RedisCounters(settings.redis_url)
    return LocalCounters()
