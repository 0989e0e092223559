"""A unit test starts no process and opens no socket: it needs nothing of the machine, and takes
milliseconds. What needs a Redis, a server or a peer stands in tests/flow, tests/http or
tests/contract."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from bench.source import ROOT, Function, Texts, working_tree

FOLDERS = ("tests/unit/", "clients/python/tests/")
OUTSIDE = re.compile(
    r"(subprocess|socket|socketserver|multiprocessing|http\.server|tornado\.httpserver)(\..*)?"
    r"|asyncio\.(create_subprocess_(exec|shell)|open_connection|open_unix_connection|start_server"
    r"|start_unix_server)"
    r"|os\.(fork|spawn\w*|popen|system)"
    r"|tornado\.(netutil\.bind_\w+|testing\.bind_unused_port|websocket\.websocket_connect)"
)
# What some files below tests/unit use all the same. Nothing may be added.
STILL_OUTSIDE = {
    "Redis servers: what is tested is what Redis does": {
        "chain/test_budget",
        "redis/test_redis_counters",
        "redis/test_redis_damage",
        "redis/test_redis_journal",
        "redis/test_redis_keeping",
        "redis/test_redis_keys",
        "redis/test_redis_link",
        "redis/test_redis_link_moves",
        "test_keys_command",
        "test_redis_server",
    },
    "an upstream in the same process, so that the HTTP client is the real one": {
        "chain/scripted_chain",
        "chain/scripted_rpc",
        "chain/scripted_socket",
        "chain/test_assets",
        "chain/test_failing_deliveries",
        "chain/test_call_limiter",
        "chain/test_history",
        "chain/test_lookups",
        "chain/test_payloads",
        "chain/test_quotes",
        "chain/test_rpc",
        "chain/test_subscribing",
        "tools/webhook/test_registrations",
        "tools/webhook/test_replay",
    },
    "the simulator in the same process, asked as a client asks it": {
        "tools/simulator/conftest",
        "tools/simulator/test_simulator_accounts",
        "tools/simulator/test_simulator_forks",
        "tools/simulator/test_simulator_live_faults",
        "tools/simulator/test_simulator_faults",
        "tools/simulator/test_simulator_http",
        "tools/simulator/test_simulator_subscriptions",
        "tools/simulator/test_simulator_webhooks",
    },
    "a program as it is typed, or Python started anew": {
        "embedded/test_sqlite_crash",
        "handlers/test_page",
        "handlers/test_page_export",
        "test_cli",
        "test_logs",
        "tools/simulator/test_simulator_command",
    },
    "a kernel's socket, whose options and limits are tested": {
        "streaming/test_bundle",
        "streaming/test_fan_out",
        "streaming/test_stream",
        "streaming/test_stream_endings",
        "test_listener",
        "test_supervisor",
    },
    "promtool": {
        "test_metrics",
    },
    "only the type of an event, from a helper that reads sockets": {
        "test_follower",
    },
}


@cache
def texts() -> Texts:
    return {path: text for path, text in working_tree(ROOT).items() if "/test" in f"/{path}"}


@cache
def tree(path: str) -> ast.Module:
    return ast.parse(texts()[path])


def imports(path: str) -> Iterator[str]:
    """Modules, and names within modules."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named(path: str) -> Iterator[str]:
    """What it imports, and what it uses of modules that it imports."""
    found = set(imports(path))
    yield from found
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in found:
            yield ast.unparse(node)


def helpers(path: str) -> set[str]:
    """Files of tests that it imports, as `tests.name` or, since no two are called alike, `name`."""
    files = {name.rpartition("/")[2].removesuffix(".py"): name for name in texts()}
    names = {name.removeprefix("tests.").partition(".")[0] for name in imports(path)}
    return {files[name] for name in names & files.keys()} - {path}


def fixtures(path: str) -> set[str]:
    """Names of the fixtures that a file defines."""
    return {
        node.name
        for node in ast.walk(tree(path))
        if isinstance(node, Function)
        and any("fixture" in ast.unparse(each) for each in node.decorator_list)
    }


def given(path: str) -> set[str]:
    """Files whose fixtures a file's functions ask for."""
    asked = {
        argument.arg
        for node in ast.walk(tree(path))
        if isinstance(node, Function)
        for argument in node.args.args
    }
    folders = [path.rpartition("/")[0]]
    while folders[-1]:
        folders.append(folders[-1].rpartition("/")[0])
    above = [f"{folder}/conftest.py" for folder in folders]
    return {each for each in above if each in texts() and each != path and asked & fixtures(each)}


@cache
def is_outside(path: str) -> bool:
    """Whether it starts processes or opens sockets, by itself or by what it uses."""
    if any(OUTSIDE.fullmatch(name) for name in named(path)):
        return True
    return any(is_outside(each) for each in helpers(path) | given(path))


def test_unit_tests_start_no_process_and_open_no_socket() -> None:
    outside = {path for path in texts() if path.startswith(FOLDERS) and is_outside(path)}
    still = {f"tests/unit/{name}.py" for names in STILL_OUTSIDE.values() for name in names}
    assert not sorted(outside - still), "see the first lines of this file"
    assert not sorted(still - outside), "they do no more: take them off STILL_OUTSIDE"


def test_what_a_helper_or_a_fixture_does_counts_for_the_test_that_uses_it() -> None:
    assert helpers("tests/conftest.py") == {"tests/redis_server.py"}
    assert given("tests/unit/tools/simulator/test_simulator_http.py") == {
        "tests/unit/tools/simulator/conftest.py"
    }
