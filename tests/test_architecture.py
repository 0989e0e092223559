"""Rules of the code that the eye can't keep: who imports what, and what no module does.

ARCHITECTURE.md says why each rule is there. tests/architecture/ has the rules for names, Protocols,
stored formats and unit tests.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.source import ROOT, Module, installed

# Small modules that every package of the server may use; "" is `wd_server` itself, its version.
SHARED = {"", "base58", "config", "errors", "histogram", "logs", "secret", "tasks"}
# The way of the data. A package imports from those to its left; `access` stands beside it.
ROUTE = ("chain", "trading", "events", "journal", "sync", "streaming")
PACKAGES = {*ROUTE, "access"}
# What stores things. They know the contracts that they fulfil, and one module knows them.
BACKENDS = {"embedded", "redis"}
CONTRACTS = {"access", "chain", "journal"}
# Who may import whom, besides its own.
MAY_IMPORT: dict[str, set[str]] = {
    "": set(),
    "wd_tools": set(),
    "base58": set(),
    "errors": set(),
    "histogram": set(),
    "secret": set(),
    "tasks": set(),
    "client": set(),  # for one release; it asks for `wd_client` by name when it is used
    "config": {"errors", "secret"},
    "logs": {"errors", "secret"},
    "looplag": SHARED,
    "disk": SHARED,
    "process": SHARED,
    "chain": SHARED,
    "trading": SHARED | {"chain"},
    "events": SHARED | {"chain", "trading"},
    "journal": SHARED | {"chain", "trading", "events"},
    "sync": SHARED | {"chain", "trading", "events", "journal"},
    # Not `sync`: who fills a journal is handed in, so that streams are tested without a chain.
    "streaming": SHARED | {"chain", "trading", "events", "journal"},
    "access": SHARED | {"trading"},
    # The seam: what a backend offers, the backends, and the one place that chooses.
    "backend": SHARED | CONTRACTS,
    "embedded": SHARED | CONTRACTS | {"backend", "events"},
    "redis": SHARED | CONTRACTS | {"backend", "events"},
    "backend_choice": SHARED | BACKENDS | {"backend"},
    "keys_cli": SHARED | {"access", "backend", "backend_choice"},
    "health_document": set(),
    "health": SHARED | PACKAGES | {"backend", "disk", "health_document"},
    "metrics": SHARED | PACKAGES | {"backend", "health", "looplag", "process"},
    "handlers": SHARED | PACKAGES | {"health_document", "http_exchange", "http_reader", "metrics"},
    "app": SHARED
    | PACKAGES
    | {"backend", "backend_choice", "disk", "handlers", "health", "looplag", "metrics"},
    "http_reader": set(),
    "http_exchange": {"http_reader"},
    "http1": {"http_exchange", "http_reader"},
    "listener": {"http1", "http_exchange"},
    "supervisor": SHARED,
    "server": SHARED | {"app", "listener", "streaming", "supervisor"},
    "demo": SHARED,
    "cli": SHARED | {"app", "demo", "server", "supervisor"},
    # It is installed where the server's dependencies are not.
    "wd_client": set(),
    # Programs beside the server. They know it by its public contract, as everybody does.
    "wd_tools.load": {"wd_client"},
    "wd_tools.simulator": set(),
    "wd_tools.watch": {"wd_client"},
    # Works on a server's own machine: its settings, the deliveries in its quarantine, the list of
    # wallets that it follows, and the upstream's errors as `chain` has them.
    "wd_tools.webhook": {"", "chain", "config", "errors", "secret", "trading"},
}
# Modules, and packages with all their modules, that neither wait, look at a clock, roll dice nor
# touch the outside.
PURE = {
    "wd_client.backoff",
    "wd_client.chain",
    "wd_client.errors",
    "wd_client.events",
    "wd_client.frame",
    "wd_client.position",
    "wd_client.response",
    "wd_client.target",
    "wd_server.access.addresses",
    "wd_server.access.credentials",
    "wd_server.access.key_index",
    "wd_server.access.key_words",
    "wd_server.access.principal",
    "wd_server.access.principal_resolver",
    "wd_server.access.store",
    "wd_server.access.windows",
    "wd_server.chain.credits",
    "wd_server.chain.faults",
    "wd_server.chain.listing",
    "wd_server.chain.pacing",
    "wd_server.chain.payloads",
    "wd_server.chain.turns",
    "wd_server.chain.wallet_groups",
    "wd_server.config.redis_url",
    "wd_server.config.variables",
    "wd_server.errors",
    "wd_server.events",
    "wd_server.http_reader",
    "wd_server.journal.base",
    "wd_server.secret",
    "wd_server.streaming.bundle_id",
    "wd_server.streaming.compression",
    "wd_server.streaming.lifecycle",
    "wd_server.streaming.view",
    "wd_server.streaming.wheel",
    "wd_server.sync.book",
    "wd_server.sync.comparison",
    "wd_server.sync.interpreted",
    "wd_server.sync.reconciliation",
    "wd_server.sync.progress",
    "wd_server.trading",
    "wd_tools.load.continuity",
    "wd_tools.load.distribution",
    "wd_tools.load.frames",
    "wd_tools.load.job",
    "wd_tools.load.plan",
    "wd_tools.load.tally",
    "wd_tools.watch.agreement",
    "wd_tools.watch.board",
    "wd_tools.watch.figures",
    "wd_tools.watch.lines",
    "wd_tools.watch.records",
    "wd_tools.watch.screen",
}
IMPURE_LIBRARIES = re.compile(
    r"(asyncio|concurrent|ctypes|http\.(client|server)|logging|multiprocessing|os|pycurl|random|redis"
    r"|secrets|select|signal|socket|sqlite3|ssl|structlog|subprocess|threading|time|tornado|urllib3"
    r"|uvloop)(\..*)?"
)

# How long a module is, is no rule: it is cut where its subject divides.
FUNCTION_LINES = 40
# What exceeds its budget, and why that is better than to cut it.
LONG_FUNCTIONS: dict[str, str] = {}

# Who may catch everything without raising it again, and why nothing is hidden by it.
CATCH_ALL = {
    "wd_server.embedded.database": "raised again where the work is awaited",
    "wd_server.embedded.journal_writer": "raised again where the write is awaited",
    "wd_server.journal.subscribers": "a subscriber's bug, logged; the append is stored",
    "wd_server.streaming.registry": "a bug met by one stream, logged; that stream is dropped",
    "wd_server.access.session_slots": "a bug met by one stream, logged; the others have to end",
    "wd_server.tasks": "a bug in a background task, logged and counted; health is degraded by it",
}
# Who starts tasks without `wd_server.tasks`, and who awaits them.
AWAITED_TASKS = {
    "wd_server.sync.sync_pass": "the pass, before it ends",
    "wd_server.chain.chunks": "who reads the history, when it is their turn",
    "wd_server.chain.history": "who reads the history, before the generator ends",
    "wd_server.chain.quotes": "a task group",
    "wd_server.chain.websocket": "who connects",
    "wd_server.http1": "the request, which its exception ends",
    "wd_server.redis.journal": "who writes",
    "wd_server.redis.shards": "who looks",
    "wd_server.server": "the end of the process",
    "wd_server.streaming.registry": "who opens a channel",
}
ENVIRONMENT = {
    "wd_server.config.settings": "reads what it is handed",
    "wd_server.cli": "hands it to the settings",
    "wd_server.keys_cli": "hands it to the settings",
    "wd_tools.webhook.cli": "hands it to the settings",
}
CALENDAR = {
    "wd_server.app": "hands the clock in",
    "wd_server.keys_cli": "hands the clock in",
    "wd_tools.simulator.cli": "hands the clock in",
}
# Packages whose names are what others import.
FACES = {"wd_client": "a library: what its users name stands in one place"}
# Folders that are made, not written.
MADE = {"__pycache__", "build", "dist", "data", "node_modules"} | {
    "wd_server.egg-info",
    "wd_client.egg-info",
}
# Names that say nothing of what is inside, and so attract everything.
EMPTY_NAMES = {"common", "helper", "helpers", "misc", "util", "utils", "tools", "shared"}


def place_of(name: str) -> str | None:
    """The package or flat file of a full name; None for what isn't ours."""
    head, _, rest = name.partition(".")
    inner = rest.partition(".")[0]
    if head in ("handlers", "wd_client"):
        return head
    if head == "wd_tools":
        return f"{head}.{inner}" if inner else head
    if head != "wd_server":
        return None
    return inner if inner in MAY_IMPORT else ""


def place(module: Module) -> str:
    """As `place_of`; of a flat file of the server that has no row yet, its name."""
    head, _, rest = module.name.partition(".")
    return rest.partition(".")[0] if head == "wd_server" else place_of(module.name) or head


def is_pure(module: Module) -> bool:
    return module.name in PURE or module.package in PURE


def test_there_is_code_to_look_at() -> None:
    assert len(installed()) > 20


def test_every_module_is_in_a_package_or_file_that_has_a_row() -> None:
    assert not {module.name for module in installed() if place(module) not in MAY_IMPORT}


def test_modules_import_only_what_their_package_may() -> None:
    assert not [
        f"{module.name}:{line} imports {name}"
        for module in installed()
        for name, line in module.imports
        if (imported := place_of(name)) is not None
        and imported not in MAY_IMPORT[place(module)] | {place(module)}
    ]


def test_no_module_imports_relatively() -> None:
    assert not [
        f"{module.name}:{line} imports {name}"
        for module in installed()
        for name, line in module.imports
        if name.startswith(".")
    ]


def test_imports_stand_at_the_top_so_that_no_circle_is_hidden() -> None:
    at_top = {
        (module.name, node.lineno)
        for module in installed()
        for node in module.tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    for_types = {
        (module.name, inner.lineno)
        for module in installed()
        for node in module.tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in node.body
    }
    assert not [
        f"{module.name}:{line} imports {name} late"
        for module in installed()
        for name, line in module.imports
        if (module.name, line) not in at_top | for_types
    ]


def test_pure_modules_import_nothing_that_waits_or_touches_the_outside() -> None:
    assert not [
        f"{module.name}:{line} imports {name}"
        for module in installed()
        if is_pure(module)
        for name, line in module.imports
        if IMPURE_LIBRARIES.fullmatch(name)
    ]


def test_every_pure_module_is_there() -> None:
    there = {module.name for module in installed()} | {module.package for module in installed()}
    assert not sorted(PURE - there)


def test_only_who_hands_the_clock_in_asks_what_time_it_is() -> None:
    asks = re.compile(r"(time\.)?(time|time_ns)|(datetime\.)?(datetime|date)\.(now|utcnow|today)")
    assert not [
        f"{module.name}:{line} calls {name}"
        for module in installed()
        if module.name not in CALENDAR
        for name, line in module.calls()
        if asks.fullmatch(name)
    ]


def test_only_the_settings_and_who_feeds_them_see_the_environment() -> None:
    assert not [
        f"{module.name}:{node.lineno}"
        for module in installed()
        if module.name not in ENVIRONMENT
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"))
    ]


def test_only_sse_knows_how_a_frame_is_written() -> None:
    assert not [
        f"{module.name}:{node.lineno} writes {node.value!r}"
        for module in installed()
        if module.name != "wd_server.events.sse"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, bytes)
        and re.search(rb"(?m)^(data|event|id|retry): ?", node.value)
    ]


def test_the_client_needs_nothing_but_python() -> None:
    assert not [
        f"{module.name}:{line} imports {name}"
        for module in installed()
        if place(module) == "wd_client"
        for name, line in module.imports
        if name.partition(".")[0] not in sys.stdlib_module_names | {"wd_client"}
    ]


def test_only_the_redis_backend_knows_the_library() -> None:
    assert not [
        module.name
        for module in installed()
        for name, _ in module.imports
        if name.split(".")[0] == "redis" and not re.match(r"wd_server\.redis\.", module.name)
    ]


def test_importing_a_module_does_nothing() -> None:
    harmless = (
        ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.ClassDef | ast.FunctionDef
    )
    assert not [
        f"{module.name}:{node.lineno}: {ast.unparse(node)}"
        for module in installed()
        if not module.name.endswith(".__main__")  # it is run, not imported
        for node in module.tree.body
        if not isinstance(node, harmless | ast.AsyncFunctionDef)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (
            isinstance(node, ast.If)
            and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
        )
    ]


def test_no_function_changes_a_global() -> None:
    assert not [
        f"{module.name}:{node.lineno}"
        for module in installed()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Global)
    ]


def test_whoever_catches_everything_raises_it_again_or_says_why_not() -> None:
    def catches_all(node: ast.ExceptHandler) -> bool:
        caught = "BaseException" if node.type is None else ast.unparse(node.type)
        return re.search(r"\b(Base)?Exception\b", caught) is not None

    hiding = [
        (module.name, node.lineno)
        for module in installed()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler)
        and catches_all(node)
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    ]
    assert not [f"{name}:{line}" for name, line in hiding if name not in CATCH_ALL]
    assert CATCH_ALL.keys() == {name for name, _ in hiding}, "a reason without its case"


def test_tasks_have_an_owner_who_hears_of_their_exceptions() -> None:
    """Either somebody awaits them, or `wd_server.tasks` does."""
    started = {
        module.name
        for module in installed()
        for name, _ in module.calls()
        if re.search(r"(^|\.)(create_task|ensure_future)$", name)
        and not re.match(r"wd_(client|tools)\b", module.name)
    }
    assert started == AWAITED_TASKS.keys() | {"wd_server.tasks"}


def test_packages_have_empty_init_files_but_for_the_version() -> None:
    assert not [
        module.name
        for module in installed()
        if module.path.name == "__init__.py" and module.name not in FACES
        for node in module.tree.body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not ast.unparse(node).startswith("__version__ =")
    ]


def test_no_module_is_called_after_nothing() -> None:
    assert not [
        m.name
        for m in installed()
        if EMPTY_NAMES & set(re.split(r"[._]", m.name.removeprefix("wd_tools")))
    ]


def test_every_module_says_first_what_it_is() -> None:
    assert not [m.name for m in installed() if m.text.strip() and ast.get_docstring(m.tree) is None]


def test_functions_keep_their_budget_of_code_lines() -> None:
    long = {}
    for module in installed():
        for name, node in module.functions:
            count = module.length(node)
            if count > FUNCTION_LINES:
                long[name] = count
    assert not {name: lines for name, lines in long.items() if name not in LONG_FUNCTIONS}
    assert long.keys() == LONG_FUNCTIONS.keys(), "a reason without its case"


def test_every_exception_from_a_rule_has_a_reason() -> None:
    for table in (LONG_FUNCTIONS, CATCH_ALL, AWAITED_TASKS, ENVIRONMENT, CALENDAR, FACES):
        assert all(reason.strip() for reason in table.values())


def test_unit_tests_lie_where_what_they_test_lies() -> None:
    folders = {Path(module.path).parent for module in installed()}
    ours = {folder.relative_to("wd_server") for folder in folders if folder.parts[0] == "wd_server"}
    ours |= {
        "tools" / folder.relative_to("wd_tools")
        for folder in folders
        if folder.parts[0] == "wd_tools"
    }
    ours |= {Path("handlers"), Path("bench")}
    tests = (ROOT / "tests" / "unit").rglob("test_*.py")
    assert not {
        str(test) for test in tests if test.parent.relative_to(ROOT / "tests" / "unit") not in ours
    }


def texts() -> Iterator[tuple[Path, str]]:
    """Every text that goes out with the project."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part not in (".ci", ".gitignore") for part in parts)
        made = MADE & set(parts)
        if hidden or made or not path.is_file() or path == Path(__file__).resolve():
            continue
        try:
            yield path.relative_to(ROOT), path.read_text()
        except UnicodeDecodeError:
            continue  # an image


def test_no_text_names_a_folder_of_the_machine_it_was_written_on() -> None:
    folder = re.compile(r"(?<![\w.~$})/-])/(work|root|tmp|home/[a-z]\w*)/")
    assert not [f"{path}: {found[0]}" for path, text in texts() if (found := folder.search(text))]


def test_no_text_names_the_host_of_a_package_registry() -> None:
    # In halves, so that this text names none either.
    halves = (
        (r"pypi|python" r"hosted|npmjs|proxy\.golang", "org"),
        ("npmjs|yarnpkg|unpkg", "com"),
        ("crates|ghcr|docker", "io"),
        ("jsdelivr", "net"),
    )
    hosts = "|".join(rf"({names})\.{domain}" for names, domain in halves)
    host = re.compile(rf"\b({hosts})\b")
    assert not [f"{path}: {found[0]}" for path, text in texts() if (found := host.search(text))]
