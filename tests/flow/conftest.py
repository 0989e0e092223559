"""What the flows share: a simulated chain, and a journal with its largest wallet in it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from eventsource import EventSource
from processes import PATIENCE, ROOT, Simulator, server, simulator

# Enough that 5,000 of them are trades.
LARGE = 7200
# Small ones, one for each test that wants an unanalysed wallet (some 80 do).
SMALL, SMALL_WALLETS = 60, 160


@pytest.fixture(scope="session")
def chain() -> Iterator[Simulator]:
    """A fast upstream: one wallet with 5,000 trades, and small ones. Its time is ours: what is
    pushed is dated by its receipt."""
    wallets = ("--wallets", str(LARGE), "--wallets", f"{SMALL}x{SMALL_WALLETS}")
    with simulator("--only", "--warm", "--end-time", "now", *wallets) as started:
        yield started


@pytest.fixture(scope="session")
def large_wallet(chain: Simulator) -> str:
    return chain.wallet(LARGE)


@pytest.fixture(scope="session")
def _small_wallets(chain: Simulator) -> Iterator[str]:
    return (address for address, size in chain.wallets if size == SMALL)


@pytest.fixture
def wallet(_small_wallets: Iterator[str]) -> str:
    """A small wallet that no other test has asked for."""
    return next(_small_wallets)


@pytest.fixture
def wallets(_small_wallets: Iterator[str]) -> list[str]:
    """A few that no other test has asked for."""
    return [next(_small_wallets) for _ in range(3)]


@pytest.fixture(scope="session")
def ts_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the TypeScript client, which is built: a copy, as other workers build too."""
    source = ROOT / "clients/ts"
    folder = tmp_path_factory.mktemp("clients") / "ts"
    copytree(source, folder, ignore=ignore_patterns("node_modules", "dist"))
    (folder / "node_modules").symlink_to(source / "node_modules")
    command = [str(folder / "node_modules/.bin/tsc"), "--project", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture(scope="session")
def _analysed(
    chain: Simulator, large_wallet: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    data_dir = tmp_path_factory.mktemp("analysed")
    with server(data_dir, chain.url) as started:
        with EventSource(started.stream(large_wallet)) as stream:
            stream.until("complete")
        started.stop()
    return data_dir


@pytest.fixture
def analysed(_analysed: Path, tmp_path: Path) -> Path:
    """A data folder of one's own in which the large wallet is analysed."""
    return Path(copytree(_analysed, tmp_path / "analysed", ignore=ignore_patterns("*.log")))
