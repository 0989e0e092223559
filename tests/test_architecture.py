"""The rules of the house that the eye can't keep: ARCHITECTURE.md says why each is there."""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# All packages of code that is installed, and where each lies.
PACKAGES = ("wd_server", "handlers", "wd_tools", "clients/python/wd_client")

# Who may import whom, besides its own. Data goes from left to right: chain, trading, events,
# journal, sync, streaming, handlers; embedded and redis are two ways to store it.
FLAT = {"", "base58", "config", "errors", "histogram", "secret", "logs", "tasks"}
BACKENDS = {"embedded", "redis"}
ROOMS = {"chain", "trading", "events", "journal", "sync", "streaming", "access"}
MAY_IMPORT: dict[str, set[str]] = {
    "": set(),
    "base58": set(),
    "errors": set(),
    "histogram": set(),
    "secret": set(),
    "tasks": set(),
    "client": {"wd_client"},  # for one release, a name for `wd_client`
    "config": {"errors", "secret"},
    "logs": {"errors", "secret"},
    "looplag": FLAT,
    "disk": FLAT,
    "process": FLAT,
    "chain": FLAT,
    "trading": FLAT | {"chain"},
    "events": FLAT | {"trading"},
    "journal": FLAT | {"chain", "trading"},
    "sync": FLAT | {"chain", "trading", "events", "journal"},
    "streaming": FLAT | {"chain", "trading", "events", "journal"},
    "access": FLAT | {"trading"},
    "backend": FLAT | {"access", "chain", "journal"},
    "embedded": FLAT | {"access", "backend", "chain", "journal"},
    "redis": FLAT | {"access", "backend", "chain", "journal"},
    "backend_choice": FLAT | {"backend"} | BACKENDS,
    "keys_cli": FLAT | {"access", "backend", "backend_choice"},
    "health": FLAT | ROOMS | {"backend", "disk"},
    "metrics": FLAT | ROOMS | {"backend", "looplag", "process", "health"},
    "handlers": FLAT | ROOMS | {"metrics", "http_exchange", "http_reader"},
    "app": FLAT | ROOMS | {"backend_choice", "handlers", "metrics", "looplag", "disk", "health"},
    "http_reader": set(),
    "http_exchange": {"http_reader"},
    "http1": {"http_exchange", "http_reader"},
    "listener": {"http1", "http_exchange"},
    "supervisor": FLAT,
    "server": FLAT | {"app", "listener", "streaming", "supervisor"},
    "demo": FLAT,
    "cli": FLAT | {"app", "demo", "server", "supervisor"},
    # It is installed where the server's dependencies are not.
    "wd_client": set(),
    "wd_tools": FLAT | {"chain", "trading", "wd_client"},
}

# Nothing here waits, looks at a clock, rolls dice or touches the outside.
PURE = re.compile(
    r"wd_server\.(trading(\..*)?|chain\.(credits|faults|listing|pacing|payloads|subscribed|turns)"
    r"|events(\..*)?|journal\.base|errors|http_reader|config\.(redis_url|variables)|secret"
    r"|access\.(addresses|credentials|key_words|principal|recognition|key_index|store|windows)"
    r"|streaming\.(bundle_id|compression|lifecycle|view|wheel)"
    r"|sync\.(book|comparison|progress|interpreted))"
    r"|wd_tools\.(load\.(plan|frames|continuity|distribution|tally|job)"
    r"|watch\.(board|figures|lines|records|screen))"
    r"|wd_client\.(backoff|chain|errors|events|frame|position|response|target)"
)
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


@dataclass(frozen=True)
class Module:
    path: Path
    name: str
    text: str
    tree: ast.Module

    @property
    def place(self) -> str:
        """The room or flat file it belongs to."""
        parts = self.name.split(".")
        return ".".join(parts[1:2]) if parts[0] == "wd_server" else parts[0]

    @property
    def is_pure(self) -> bool:
        return PURE.fullmatch(self.name) is not None

    def imports(self) -> Iterator[tuple[str, int]]:
        """Full names imported, with what is imported from a module as part of the name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}:{node.lineno} imports relatively"
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)

    def calls(self) -> Iterator[tuple[str, int]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func), node.lineno


@cache
def modules() -> tuple[Module, ...]:
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to((ROOT / package).parent).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            text = path.read_text()
            found.append(Module(path, name, text, ast.parse(text)))
    return tuple(found)


def place_of(imported: str) -> str | None:
    """The room or flat file of a full name; None for what isn't ours."""
    head, _, rest = imported.partition(".")
    if head in ("handlers", "wd_tools", "wd_client"):
        return head
    if head != "wd_server":
        return None
    name = rest.partition(".")[0]
    return name if name in MAY_IMPORT else ""


def documented(node: ast.AST) -> ast.expr | None:
    body = getattr(node, "body", None)
    first = body[0] if isinstance(body, list) and body else None
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first.value if is_text and isinstance(first.value.value, str) else None  # type: ignore[union-attr]


@cache
def code_lines(module: Module) -> frozenset[int]:
    """Numbers of the lines that hold code: no comments, no docstrings, no blank lines."""
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in empty and token.type != tokenize.ENDMARKER:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(module.tree):
        text = documented(node)
        if text is not None:
            lines.difference_update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return frozenset(lines)


def functions() -> Iterator[tuple[Module, str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    def below(module: Module, node: ast.AST, prefix: str) -> Iterator[tuple[Module, str, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            name = f"{prefix}.{child.name}" if named else prefix  # type: ignore[attr-defined]
            if named and not isinstance(child, ast.ClassDef):
                yield module, name, child
            yield from below(module, child, name)

    for module in modules():
        yield from below(module, module.tree, module.name)  # type: ignore[misc]


def test_there_is_a_house_to_look_at() -> None:
    assert len(modules()) > 20


def test_every_module_stands_in_a_room_or_is_one_of_the_flat_files() -> None:
    assert not {module.name for module in modules() if module.place not in MAY_IMPORT}


def test_modules_import_only_rooms_to_their_left_and_flat_files() -> None:
    assert not [
        f"{module.name}:{line} imports {name}"
        for module in modules()
        for name, line in module.imports()
        if (place := place_of(name)) is not None
        and place not in MAY_IMPORT[module.place] | {module.place}
    ]


def test_imports_stand_at_the_top_so_that_no_circle_is_hidden() -> None:
    at_top = {
        (module.name, node.lineno)
        for module in modules()
        for node in module.tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    for_types = {
        (module.name, inner.lineno)
        for module in modules()
        for node in module.tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in node.body
    }
    assert not [
        f"{module.name}:{line} imports {name} late"
        for module in modules()
        for name, line in module.imports()
        if (module.name, line) not in at_top | for_types
    ]


def test_the_server_does_not_know_its_simulator() -> None:
    assert not [
        f"{module.name} imports {name}"
        for module in modules()
        for name, _ in module.imports()
        if name.startswith("wd_tools") and not module.name.startswith("wd_tools")
    ]


def test_analysis_knows_only_the_vocabulary_of_what_goes_out() -> None:
    assert not [
        f"{module.name}:{line} imports {name}"
        for module in modules()
        if module.place == "sync"
        for name, line in module.imports()
        if name.startswith("wd_server.streaming")
    ]


def test_pure_modules_import_nothing_that_waits_or_touches_the_outside() -> None:
    assert not [
        f"{module.name}:{line} imports {name}"
        for module in modules()
        if module.is_pure
        for name, line in module.imports()
        if IMPURE_LIBRARIES.fullmatch(name)
    ]


def test_only_who_hands_the_clock_in_asks_what_time_it_is() -> None:
    asks = re.compile(r"(time\.)?(time|time_ns)|(datetime\.)?(datetime|date)\.(now|utcnow|today)")
    assert not [
        f"{module.name}:{line} calls {name}"
        for module in modules()
        if module.name not in CALENDAR
        for name, line in module.calls()
        if asks.fullmatch(name)
    ]


def test_only_the_settings_and_who_feeds_them_see_the_environment() -> None:
    assert not [
        f"{module.name}:{node.lineno}"
        for module in modules()
        if module.name not in ENVIRONMENT
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"))
    ]


def test_only_sse_knows_how_a_frame_is_written() -> None:
    assert not [
        f"{module.name}:{node.lineno} writes {node.value!r}"
        for module in modules()
        if module.name != "wd_server.events.sse"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, bytes)
        and re.search(rb"(?m)^(data|event|id|retry): ?", node.value)
    ]


def test_the_client_needs_nothing_but_python() -> None:
    assert not [
        f"{module.name}:{line} imports {name}"
        for module in modules()
        if module.place == "wd_client"
        for name, line in module.imports()
        if name.partition(".")[0] not in sys.stdlib_module_names | {"wd_client"}
    ]


def test_only_the_redis_backend_knows_the_library() -> None:
    assert not [
        module.name
        for module in modules()
        for name, _ in module.imports()
        if name.split(".")[0] == "redis" and not re.match(r"wd_server\.redis\.", module.name)
    ]


def test_importing_a_module_does_nothing() -> None:
    harmless = (
        ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.ClassDef | ast.FunctionDef
    )
    assert not [
        f"{module.name}:{node.lineno}: {ast.unparse(node)}"
        for module in modules()
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
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Global)
    ]


def test_whoever_catches_everything_raises_it_again_or_says_why_not() -> None:
    def catches_all(node: ast.ExceptHandler) -> bool:
        caught = "BaseException" if node.type is None else ast.unparse(node.type)
        return re.search(r"\b(Base)?Exception\b", caught) is not None

    hiding = [
        (module.name, node.lineno)
        for module in modules()
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
        for module in modules()
        for name, _ in module.calls()
        if re.search(r"(^|\.)(create_task|ensure_future)$", name)
        and not re.match(r"wd_(client|tools)\b", module.name)
    }
    assert started == AWAITED_TASKS.keys() | {"wd_server.tasks"}


def test_packages_have_empty_init_files_but_for_the_version() -> None:
    assert not [
        module.name
        for module in modules()
        if module.path.name == "__init__.py" and module.name not in FACES
        for node in module.tree.body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not ast.unparse(node).startswith("__version__ =")
    ]


def test_no_module_is_called_after_nothing() -> None:
    assert not [
        m.name
        for m in modules()
        if EMPTY_NAMES & set(re.split(r"[._]", m.name.removeprefix("wd_tools")))
    ]


def test_every_module_says_first_what_it_is() -> None:
    assert not [m.name for m in modules() if m.text.strip() and ast.get_docstring(m.tree) is None]


def test_functions_keep_their_budget_of_code_lines() -> None:
    long = {}
    for module, name, node in functions():
        inside = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        count = len(code_lines(module) & set(inside))
        if count > FUNCTION_LINES:
            long[name] = count
    assert not {name: lines for name, lines in long.items() if name not in LONG_FUNCTIONS}
    assert long.keys() == LONG_FUNCTIONS.keys(), "a reason without its case"


def test_every_exception_from_a_rule_has_a_reason() -> None:
    for table in (LONG_FUNCTIONS, CATCH_ALL, AWAITED_TASKS, ENVIRONMENT, CALENDAR, FACES):
        assert all(reason.strip() for reason in table.values())


def test_unit_tests_lie_where_what_they_test_lies() -> None:
    packages = {m.path.parent for m in modules()}
    ours = {
        p.relative_to(ROOT / "wd_server") for p in packages if p.is_relative_to(ROOT / "wd_server")
    }
    tools = ROOT / "wd_tools"
    ours |= {"tools" / p.relative_to(tools) for p in packages if p.is_relative_to(tools)}
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
