"""One server for all requests of this folder, and its log."""

from collections.abc import Iterator

import pytest
from processes import Server, Simulator, server, simulator

ORIGIN = "https://app.example"
# Transactions of the wallets: one to be analysed, one that never is.
SIZE, UNTOUCHED_SIZE = 120, 3


@pytest.fixture(scope="session")
def chain() -> Iterator[Simulator]:
    sizes = (0, SIZE, UNTOUCHED_SIZE)
    with simulator("--only", *(f"--wallets={size}" for size in sizes)) as started:
        yield started


@pytest.fixture(scope="session")
def wallet(chain: Simulator) -> str:
    return chain.wallet(SIZE)


@pytest.fixture(scope="session")
def empty_wallet(chain: Simulator) -> str:
    return chain.wallet(0)


@pytest.fixture(scope="session")
def served(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It logs all it can, so that what must not be logged would be seen."""
    folder = tmp_path_factory.mktemp("served")
    settings = {
        "ALLOWED_ORIGINS": ORIGIN,
        "LOG_LEVEL": "debug",
        "RATE_LIMIT_REQUESTS": 0,
        "RATE_LIMIT_STREAMING_CONNECTIONS": 0,
    }
    with server(folder, chain.url, **settings) as started:
        yield started


@pytest.fixture(autouse=True)
def _unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test sent: no traceback, no error in the log, and the server is healthy."""
    if "served" not in request.fixturenames:
        yield
        return
    served: Server = request.getfixturevalue("served")
    start = served.log.stat().st_size
    yield
    with served.log.open() as log:
        log.seek(start)
        logged = log.read()
    assert "Traceback" not in logged
    assert '"level":"error"' not in logged
    assert served.get("/health")["status"] == "healthy"
