"""Which settings say what stores for a server."""

from pathlib import Path
from typing import cast

from wd_server.backend_choice import STORE_VARIABLES, choose_backend
from wd_server.config.settings import Settings
from wd_server.tasks import Tasks

# How long something is kept says nothing of where.
OF_NO_PLACE = {"JOURNAL_DAYS"}


class Watched:
    """Settings that note which of them were looked at."""

    def __init__(self, settings: Settings) -> None:
        self.seen: set[str] = set()
        self._settings = settings

    def __getattr__(self, name: str) -> object:
        self.seen.add(name.upper())
        return getattr(self._settings, name)


def test_wd_keys_reads_every_setting_by_which_the_server_chooses_where_to_store(
    tmp_path: Path,
) -> None:
    """Without one, its keys would lie where no server looks."""
    seen: set[str] = set()
    for redis_url in ("", "redis://127.0.0.1:1/"):
        environ = {"DATA_DIR": str(tmp_path), "REDIS_URL": redis_url}
        watched = Watched(Settings.from_environment(environ))
        choose_backend(cast(Settings, watched), Tasks())
        seen |= watched.seen
    assert seen - OF_NO_PLACE == set(STORE_VARIABLES)
