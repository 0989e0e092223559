"""SECRET_KEY where it isn't set: in development a random one is made and kept beside the data."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from wd_server.access.keys import SigningKeys
from wd_server.config.settings import Settings
from wd_server.errors import StoreUnavailable
from wd_server.secret import Secret

FILE_NAME = "secret-key"
SECRET_BYTES = 32


def signing_keys(settings: Settings) -> SigningKeys:
    """Raises StoreUnavailable if the file can't be made or read."""
    if settings.secret_key is not None:
        return SigningKeys(settings.secret_key, settings.secret_key_old)
    return SigningKeys(_kept(settings.data_dir))


def _kept(folder: Path) -> Secret:
    path = folder / FILE_NAME
    try:
        if not path.exists():
            _make(path)
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreUnavailable(
            f"{path} can't be read or made, and SECRET_KEY isn't set. Set it, or make {folder} "
            "writable for this user."
        ) from error
    if not text:
        raise StoreUnavailable(f"{path} is empty, and SECRET_KEY isn't set. Remove the file.")
    return Secret(text)


def _make(path: Path) -> None:
    """Whole or not at all. If two processes make it at once, the first one's stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent) as file:  # mode 0600
        file.write(secrets.token_hex(SECRET_BYTES) + "\n")
        file.flush()
        with suppress(FileExistsError):
            os.link(file.name, path)
