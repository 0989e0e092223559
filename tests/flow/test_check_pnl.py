"""The script of docs/pnl.md checks a server's profit and loss against the chain."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import PATIENCE, ROOT, Server, Simulator, server, simulator

SCRIPT = ROOT / "docs/check_pnl.py"
SIZE, EVERYTHING_SIZE = 300, 301
# Lines of code, so that a reader can check the checker.
CODE_LINES_MAX = 150


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    # One as most are, and one that has everything that a wallet can do.
    sizes = ("--wallets", str(SIZE), "--everything", str(EVERYTHING_SIZE))
    with simulator("--only", *sizes) as started:
        yield started


@pytest.fixture(scope="module")
def served(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("checked")
    with server(folder, chain.url, API_KEY_REQUIRED="true") as started:
        yield started


@pytest.fixture(scope="module")
def arguments(chain: Simulator, served: Server) -> list[str]:
    return [served.url, chain.url, chain.wallet(SIZE), served.key("--requests", "0")]


def checked(script: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("size", [SIZE, EVERYTHING_SIZE])
def test_the_script_comes_to_the_same_profit_as_the_server(
    chain: Simulator, arguments: list[str], size: int
) -> None:
    server_url, rpc, _, key = arguments
    done = checked(SCRIPT, [server_url, rpc, chain.wallet(size), key])
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    rows = [line.rsplit(maxsplit=2) for line in done.stdout.splitlines()[1:]]
    assert {name for name, *_ in rows} >= {"realized_pnl", "net_pnl", "change of SOL"}
    for name, own, its in rows:
        assert own == its
        assert int(own) or name != "realized_pnl"


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ('+= int(each["amount_raw"])', '+= 1 + int(each["amount_raw"])', "the postings are"),
        ("lots[0][3] = after", "after", "differs"),
        ("value - matched", "value - matched + 1", "differs"),
    ],
)
def test_it_ends_with_1_where_books_differ_from_the_chain_or_the_server(
    arguments: list[str], tmp_path: Path, right: str, wrong: str, told: str
) -> None:
    altered = tmp_path / "altered.py"
    assert right in SCRIPT.read_text()
    altered.write_text(SCRIPT.read_text().replace(right, wrong))
    done = checked(altered, arguments)
    assert done.returncode == 1
    assert told in done.stdout, done.stderr


def test_it_is_short_enough_to_be_read_before_it_is_trusted() -> None:
    text = SCRIPT.read_text()
    about = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    code = [
        line
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.strip().startswith("#") and number not in about
    ]
    assert len(code) <= CODE_LINES_MAX
