"""How wd-server is built and installed. `make lock` writes down the versions this resolves to."""

import ast
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def version() -> str:
    """Read without importing: what wd_server imports isn't there before the installation."""
    for node in ast.parse((ROOT / "wd_server/__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise SystemExit("wd_server/__init__.py has no __version__.")


setup(
    name="wd-server",
    version=version(),
    description="Streams what a Solana wallet's trading really earned.",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(
        include=["wd_server", "wd_server.*", "handlers", "handlers.*", "wd_tools", "wd_tools.*"]
    ),
    # Whatever a package keeps beside its modules; the page, and the licence of what it uses.
    package_data={
        "": ["*.html", "*.css", "*.js", "*.svg"],
        "handlers": ["web/*", "web/vendor/*"],
    },
    scripts=sorted(str(script.relative_to(ROOT)) for script in ROOT.glob("bin/wd-*")),
    install_requires=[
        "tornado>=6.5.7",
        "uvloop",
        "httptools",
        "msgspec",
        "pycurl",
        "redis[hiredis]",
        "PyJWT[crypto]",
        "prometheus-client",
        "structlog",
        "rich",
    ],
    extras_require={
        # pytest-tornado doesn't work with pytest 10, nor without setuptools' pkg_resources.
        "test": [
            "pytest<10",
            "pytest-tornado",
            # A test that hangs fails, and says where, instead of keeping all others from running.
            "pytest-timeout",
            # Tests wait more than they work: several at a time.
            "pytest-xdist",
            "setuptools<81",
            "hypothesis",
            "psutil",
            # Many streams on one connection, as browsers open them.
            "h2",
            # Clients of others that are tried as they are.
            "httpx",
            "httpx-sse",
            "aiohttp-sse-client",
            "requests",
            "sseclient-py",
            # The server against its own description; the documentation as a site.
            "jsonschema-rs",
            "schemathesis",
            "mkdocs",
            # Drive Debian's Chromium; neither downloads another.
            "playwright",
            "axe-playwright-python",
        ],
        # What it is measured against; with the server's httptools uvicorn is at its fastest.
        "bench": ["sse-starlette", "uvicorn"],
        "dev": ["ruff", "mypy", "types-pycurl", "types-psutil"],
    },
)
