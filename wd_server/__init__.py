"""wd-server: streams what a Solana wallet's trading really earned."""

__version__ = "0.2.0"
