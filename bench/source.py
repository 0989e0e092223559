"""The project's Python as it is written: modules, their functions, classes and imports.

Nothing is imported or run, so that the code of any revision can be read. `python -m
bench.structure` counts in it, and tests/test_architecture.py and tests/architecture check it.
"""

import ast
import io
import subprocess
import tarfile
import tempfile
import tokenize
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
# Folders of installed code, and the name by which each is imported.
PROGRAMS = ("wd_server", "handlers", "wd_tools", "clients/python/wd_client")
# Programs that are cut into packages; the others are a package each.
CUT = ("wd_server", "wd_tools")

Texts = Mapping[str, str]
"""What is in each file, by its path from the root of the repository."""
Function = ast.FunctionDef | ast.AsyncFunctionDef

_NO_CODE = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
)


class Module:
    """One file. `path`: from the root of the repository; `name`: as it is imported."""

    def __init__(self, path: PurePosixPath, name: str, text: str) -> None:
        self.path = path
        self.name = name
        self.text = text
        self.tree = ast.parse(text)

    @property
    def program(self) -> str:
        """What its class names are unique in: the server with its handlers, or another program."""
        head = self.name.partition(".")[0]
        return "wd_server" if head == "handlers" else head

    @cached_property
    def package(self) -> str:
        """`wd_server.chain`, `handlers`; the program's own name for its files outside packages."""
        parts = self.name.split(".")
        is_inside = len(parts) > 2 or (len(parts) == 2 and self.path.name == "__init__.py")
        return ".".join(parts[:2]) if parts[0] in CUT and is_inside else parts[0]

    @cached_property
    def code_lines(self) -> frozenset[int]:
        """Numbers of the lines that hold code: no comments, no docstrings, no blank lines."""
        lines: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in _NO_CODE:
                lines.update(range(token.start[0], token.end[0] + 1))
        for node in ast.walk(self.tree):
            text = _docstring(node)
            if text is not None:
                lines.difference_update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
        return frozenset(lines)

    @cached_property
    def imports(self) -> tuple[tuple[str, int], ...]:
        """Full names and their lines, with what is imported from a module as part of the name."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(alias.name, node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                found += [(f"{module}.{alias.name}", node.lineno) for alias in node.names]
        return tuple(found)

    def calls(self) -> Iterator[tuple[str, int]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func), node.lineno

    @cached_property
    def classes(self) -> tuple[ast.ClassDef, ...]:
        return tuple(node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))

    @cached_property
    def functions(self) -> tuple[tuple[str, Function], ...]:
        """With full names, methods and inner functions included."""
        return tuple(_functions(self.tree, self.name))

    def length(self, function: Function) -> int:
        """Lines of code."""
        end = function.end_lineno or function.lineno
        return len(self.code_lines & set(range(function.lineno, end + 1)))


def is_protocol(node: ast.ClassDef) -> bool:
    """A `typing.Protocol`; that of asyncio is written with its module."""
    return any(base_name(base) in ("Protocol", "typing.Protocol") for base in node.bases)


def base_name(base: ast.expr) -> str:
    """Of a base class as it is written, without its parameters."""
    return ast.unparse(base).partition("[")[0]


def modules_in(texts: Texts) -> tuple[Module, ...]:
    """All that is installed, in the order of the paths."""
    found = []
    for path in sorted(map(PurePosixPath, texts)):
        home = _home(path)
        if home is not None and path.suffix == ".py":
            parts = path.relative_to(home).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            found.append(Module(path, name, texts[str(path)]))
    return tuple(found)


@cache
def installed() -> tuple[Module, ...]:
    """All that is installed from this checkout. Read once, since that takes a second."""
    return modules_in(working_tree(ROOT))


def working_tree(root: Path) -> Texts:
    """The Python files as they are now."""
    folders = (*PROGRAMS, "tests", "clients/python/tests")
    paths = [path for folder in folders for path in (root / folder).rglob("*.py")]
    return {path.relative_to(root).as_posix(): path.read_text() for path in paths}


def revision(root: Path, name: str) -> Texts:
    """The Python files as they were. Raises ValueError for what git doesn't know."""
    return unpacked(_archive(root, name))


@contextmanager
def checkout(name: str) -> Iterator[Path]:
    """All files of a revision, in a folder for the time of the `with` block. Raises ValueError for
    what git doesn't know."""
    archive = _archive(ROOT, name)
    with (
        tempfile.TemporaryDirectory() as folder,
        tarfile.open(fileobj=io.BytesIO(archive)) as opened,
    ):
        opened.extractall(folder, filter="data")
        yield Path(folder)


def _archive(root: Path, name: str) -> bytes:
    command = ["git", "-C", str(root), "archive", "--format=tar", name]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise ValueError(f"git has no revision {name}: {done.stderr.decode().strip()}")
    return done.stdout


def unpacked(archive: bytes) -> Texts:
    """The Python files of a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        files = [member for member in opened if member.isfile() and member.name.endswith(".py")]
        return {
            file.name: content.read().decode()
            for file in files
            if (content := opened.extractfile(file)) is not None
        }


def _home(path: PurePosixPath) -> PurePosixPath | None:
    """The folder that a program is imported from."""
    for program in map(PurePosixPath, PROGRAMS):
        if path.is_relative_to(program):
            return program.parent
    return None


def _docstring(node: ast.AST) -> ast.expr | None:
    body = getattr(node, "body", None)
    first = body[0] if isinstance(body, list) and body else None
    if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
        return None
    return first.value if isinstance(first.value.value, str) else None


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        name = prefix
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}.{child.name}"
            yield name, child
        elif isinstance(child, ast.ClassDef):
            name = f"{prefix}.{child.name}"
        yield from _functions(child, name)
