"""The Python client under its old name, for one release: it is the distribution `wd-client` now.

Names are looked up when somebody asks for them, so importing this module does nothing yet, and it
can be imported where `wd_client` isn't installed.
"""

import warnings
from importlib import import_module

_CLIENT = "wd_client"


def __getattr__(name: str) -> object:
    """Raises AttributeError for what isn't a name of the client's, and ModuleNotFoundError where it
    isn't installed."""
    # Python itself asks for other names with underscores, such as `__path__`.
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        client = import_module(_CLIENT)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The Python client is a distribution of its own now: `pip install ./clients/python` in"
            " a checkout, and import wd_client instead of wd_server.client.",
            name=error.name,
        ) from error
    if name != "__all__" and name not in client.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "wd_server.client is gone after this release: import wd_client instead.",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(client, name)
