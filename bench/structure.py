"""Counts what the code is made of, and draws its packages.

`python -m bench.structure` counts in the checkout, with `--at REVISION` in any revision that git
has. `--page` makes STRUCTURE.md, `--svg` docs/structure.svg, whose arrows go as the data does.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bench.drawing import drawn
from bench.source import ROOT, Module, Texts, is_protocol, modules_in, revision, working_tree

# The last revision before packages and words were put in order.
BEFORE = "9fc5f61"
# Files of the server outside its packages: those that import none of them, and the others, which
# put the packages together.
SHARED = "wd_server/*.py (shared)"
PROGRAM = "wd_server/*.py"


class Counts(NamedTuple):
    """`code`: lines without comments, docstrings and blank ones. Functions include methods."""

    modules: int = 0
    lines: int = 0
    code: int = 0
    classes: int = 0
    functions: int = 0
    protocols: int = 0

    def plus(self, other: "Counts") -> "Counts":
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Structure(NamedTuple):
    """`imports`: by importing and imported package, how many pairs of modules; `twice`: by program,
    class names that it has twice; `longest`: code lines of the longest function; `tests`: lines."""

    packages: Mapping[str, Counts]
    imports: Mapping[tuple[str, str], int]
    twice: Mapping[str, Sequence[str]]
    longest: int
    tests: int

    def total(self, *programs: str) -> Counts:
        """Of all packages, or of those whose names begin so."""
        total = Counts()
        for name, counts in self.packages.items():
            if name.startswith(programs or ""):
                total = total.plus(counts)
        return total


def structure(texts: Texts) -> Structure:
    modules = _written(modules_in(texts))
    homes = _homes(modules)
    packages: dict[str, Counts] = defaultdict(Counts)
    for module in modules:
        home = homes[module.name]
        packages[home] = packages[home].plus(_counts(module))
    lengths = (module.length(node) for module in modules for _, node in module.functions)
    tests = (text for path, text in texts.items() if "tests/" in path)
    return Structure(
        dict(sorted(packages.items())),
        _imports_between(modules, homes),
        _twice(modules),
        max(lengths, default=0),
        sum(len(text.splitlines()) for text in tests),
    )


def _written(modules: Iterable[Module]) -> list[Module]:
    """Without files that only make a folder a package."""
    return [module for module in modules if module.text.strip()]


def _counts(module: Module) -> Counts:
    protocols = sum(is_protocol(node) for node in module.classes)
    return Counts(
        1,
        len(module.text.splitlines()),
        len(module.code_lines),
        len(module.classes),
        len(module.functions),
        protocols,
    )


def _imports(modules: Sequence[Module]) -> set[tuple[str, str]]:
    """Names of modules, the one that imports first."""
    names = {module.name for module in modules}
    found = set()
    for module in modules:
        for name, _ in module.imports:
            owner = name if name in names else name.rpartition(".")[0]
            if owner in names and owner != module.name:
                found.add((module.name, owner))
    return found


def _imports_between(
    modules: Sequence[Module], homes: Mapping[str, str]
) -> dict[tuple[str, str], int]:
    counts = Counter((homes[user], homes[used]) for user, used in _imports(modules))
    return {pair: count for pair, count in sorted(counts.items()) if pair[0] != pair[1]}


def _homes(modules: Sequence[Module]) -> dict[str, str]:
    """The package of each module, by their names. What imports a package, or something that does,
    is the program's. A file that packages import in turn is a seam between them: it counts as a
    package of its own."""
    packages = {module.name: module.package for module in modules}
    flat = {name for name, package in packages.items() if package == "wd_server"}
    pairs = _imports(modules)
    program: set[str] = set()
    while more := {
        importing
        for importing, imported in pairs
        if importing in flat - program and (imported not in flat or imported in program)
    }:
        program |= more
    seams = {imported for importing, imported in pairs if importing not in flat} & program
    homes = {name: PROGRAM if name in program else SHARED for name in flat}
    return packages | homes | {name: name for name in seams}


def _twice(modules: Sequence[Module]) -> dict[str, list[str]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for module in modules:
        counts[module.program].update(node.name for node in module.classes)
    return {
        program: sorted(name for name, count in names.items() if count > 1)
        for program, names in sorted(counts.items())
    }


def circles(imports: Mapping[tuple[str, str], int]) -> list[str]:
    """Packages that import themselves by way of others."""
    reached = set(imports)
    names = sorted({name for pair in imports for name in pair})
    for via in names:
        for start in names:
            for end in names:
                if (start, via) in reached and (via, end) in reached:
                    reached.add((start, end))
    return [name for name in names if (name, name) in reached]


def report(found: Structure) -> Iterator[str]:
    """Markdown: packages, and who imports whom."""
    yield "| package | modules | lines | of code | classes | functions | Protocols |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for name, counts in (*found.packages.items(), ("all", found.total())):
        yield f"| {name} | {' | '.join(f'{count:,}' for count in counts)} |"
    yield ""
    yield "Pairs of modules of which the row's imports the column's:"
    yield ""
    columns = [name for name in found.packages if any(pair[1] == name for pair in found.imports)]
    yield f"| | {' | '.join(name.removeprefix('wd_server.') for name in columns)} |"
    yield f"|---|{'--:|' * len(columns)}"
    for row in found.packages:
        cells = [str(found.imports.get((row, column), "")) for column in columns]
        if any(cells):
            yield f"| {row} | {' | '.join(cells)} |"


def totals(found: Structure) -> dict[str, str]:
    """Of the whole, by what they count."""
    counts = found.total()
    server = found.total("wd_server", "handlers")
    return {
        "packages": str(len(found.packages)),
        "modules": str(counts.modules),
        "lines": f"{counts.lines:,}",
        "lines of code": f"{counts.code:,}",
        "lines of code, server and handlers alone": f"{server.code:,}",
        "lines of tests": f"{found.tests:,}",
        "classes": str(counts.classes),
        "class names that a program has twice": str(sum(map(len, found.twice.values()))),
        "functions": f"{counts.functions:,}",
        "code lines of the longest function": str(found.longest),
        "Protocols": str(counts.protocols),
        "pairs of packages of which one imports the other": str(len(found.imports)),
        "packages that import themselves by way of others": str(len(circles(found.imports))),
    }


def page(before: Structure, now: Structure) -> str:
    lines = [
        "# The structure, counted",
        "",
        f"`python -m bench.structure --page >bench/STRUCTURE.md` wrote this. Before is {BEFORE},",
        "the last revision before packages and words were put in order. The same code counts both.",
        "",
        "| what | before | now |",
        "|---|--:|--:|",
    ]
    old = totals(before)
    lines += [f"| {what} | {old[what]} | {figure} |" for what, figure in totals(now).items()]
    for title, found in (("Now", now), ("Before", before)):
        lines += ["", f"## {title}", "", *report(found)]
        for program, names in found.twice.items():
            lines += ["", f"Class names that {program} has twice: {', '.join(names) or 'none'}."]
    return "\n".join(lines) + "\n"


def drawing(modules: Iterable[Module]) -> str:
    """Without what is shared, since everything imports it."""
    written = _written(modules)
    homes = _homes(written)
    names = {home: home.removeprefix("wd_server.") for home in homes.values() if home != SHARED}
    arrows = {
        (names[imported], names[importing])
        for importing, imported in _imports_between(written, homes)
        if SHARED not in (imported, importing)
    }
    return drawn(sorted(names.values()), arrows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.structure", description=__doc__)
    parser.add_argument("--at", metavar="REVISION", help="count in this revision")
    parser.add_argument("--page", action="store_true", help="compare with before, as STRUCTURE.md")
    parser.add_argument("--svg", action="store_true", help="draw the packages")
    given = parser.parse_args()
    try:
        texts = revision(ROOT, given.at) if given.at else working_tree(ROOT)
        if given.page:
            print(page(structure(revision(ROOT, BEFORE)), structure(texts)), end="")
        elif given.svg:
            print(drawing(modules_in(texts)), end="")
        else:
            found = structure(texts)
            print("\n".join((*(f"{what}: {n}" for what, n in totals(found).items()), "")))
            print("\n".join(report(found)))
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
