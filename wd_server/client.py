"""The Python client's old name, for one release: `wd_client` is a distribution of its own now."""

from wd_client import *  # noqa: F403
