"""Which backend a server has: the one place that knows them all."""

from typing import Final

from wd_server.backend import Backend
from wd_server.config.settings import Settings
from wd_server.embedded.backend import EmbeddedBackend
from wd_server.redis.backend import RedisBackend
from wd_server.tasks import Tasks

DAY_SECONDS = 86_400
# Variables that say which backend it is and where it stores: wd-keys reads these of the server's
# settings, and no others for that.
STORE_VARIABLES: Final = ("DATA_DIR", "REDIS_URL")


def choose_backend(settings: Settings, tasks: Tasks) -> Backend:
    """Not open yet. Raises InvalidSettings (the TLS options of REDIS_URL)."""
    keep_seconds = settings.journal_days * DAY_SECONDS
    if settings.redis_url is None:
        return EmbeddedBackend(settings.data_dir, keep_seconds, tasks)
    return RedisBackend(settings.redis_url, keep_seconds, tasks)
