"""Which backend a server has: the one place that knows them all."""

from wd_server.backend import Backend
from wd_server.config.settings import Settings
from wd_server.embedded.backend import EmbeddedBackend
from wd_server.redis.backend import RedisBackend
from wd_server.tasks import Tasks

DAY_SECONDS = 86_400


def choose_backend(settings: Settings, tasks: Tasks) -> Backend:
    """Not open yet. Raises InvalidSettings (the TLS options of REDIS_URL)."""
    keep_seconds = settings.journal_days * DAY_SECONDS
    if settings.redis_url is None:
        return EmbeddedBackend(settings.data_dir, keep_seconds, tasks)
    return RedisBackend(settings.redis_url, keep_seconds, tasks)
