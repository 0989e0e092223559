"""The version of this client; it is released with the server of the same number."""

__version__ = "0.2.0"
