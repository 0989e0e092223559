"""What is counted and drawn, on a tree of a few lines."""

import io
import tarfile

import pytest

from bench.drawing import backward, columns_of, drawn, reduced
from bench.source import Texts, modules_in, unpacked
from bench.structure import PROGRAM, SHARED, circles, drawing, page, report, structure, totals


@pytest.fixture
def texts() -> Texts:
    """A server of two packages, with a module they share and one that puts them together."""
    return {
        "wd_server/__init__.py": "",
        "wd_server/errors.py": '"""What goes wrong."""\n\n\nclass Bad(Exception): ...\n',
        "wd_server/app.py": "from wd_server import demo\nfrom wd_server.sync import session\n",
        "wd_server/demo.py": "import os\n",
        "wd_server/chain/__init__.py": "",
        "wd_server/chain/rpc.py": (
            '"""Calls."""\n'
            "import asyncio\n"
            "from typing import Protocol\n"
            "from wd_server.errors import Bad\n"
            "\n"
            "class Answers(Protocol):\n"
            "    def of(self) -> int:\n"
            '        """Text,\n'
            '        more of it."""\n'
            "        # A remark.\n"
            "\n"
            "class Entry(asyncio.Protocol):\n"
            "    pass\n"
        ),
        "wd_server/sync/session.py": (
            "from wd_server.chain import rpc\n"
            "from wd_server.chain.rpc import Answers, Entry as Other\n"
            "class Entry:\n"
            "    def read(self):\n"
            "        def inner():\n"
            "            return 1\n"
            "        return inner\n"
        ),
        "clients/python/wd_client/__init__.py": "class Entry: ...\n",
        "clients/python/tests/test_it.py": "assert True\n\n",
        "tests/unit/test_all.py": "assert True\n",
        "bench/other.py": "class Uncounted: ...\n",
    }


def test_a_module_has_the_name_by_which_it_is_imported(texts):
    named = {str(module.path): module.name for module in modules_in(texts)}
    assert named["clients/python/wd_client/__init__.py"] == "wd_client"
    assert named["wd_server/chain/rpc.py"] == "wd_server.chain.rpc"
    assert "bench/other.py" not in named


def test_of_an_archive_the_python_files_are_read():
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in {"wd_server/app.py": b"pass\n", "README.md": b"# Read\n"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    assert unpacked(packed.getvalue()) == {"wd_server/app.py": "pass\n"}


def test_lines_of_code_are_those_without_comments_docstrings_and_empty_ones(texts):
    counts = structure(texts).packages["wd_server.chain"]
    assert (counts.modules, counts.lines, counts.code) == (1, 13, 7)


def test_inner_functions_and_methods_are_functions_and_only_typing_has_protocols(texts):
    packages = structure(texts).packages
    assert packages["wd_server.sync"].functions == 2
    assert packages["wd_server.chain"].protocols == 1


def test_files_outside_packages_are_shared_unless_they_import_a_package(texts):
    packages = structure(texts).packages
    assert packages[PROGRAM].modules == 1
    assert packages[SHARED].modules == 2


def test_a_file_that_packages_import_and_that_imports_others_is_a_seam_of_its_own(texts):
    seam = {
        "wd_server/backend.py": "from wd_server.chain import rpc\n",
        "wd_server/redis/backend.py": "from wd_server.backend import Backend\n",
        "wd_server/choice.py": "from wd_server.redis import backend\n",
    }
    found = structure(texts | seam)
    assert found.packages["wd_server.backend"].modules == 1
    assert found.packages[PROGRAM].modules == 2
    assert circles(found.imports) == []


def test_an_import_counts_once_for_each_pair_of_modules(texts):
    assert structure(texts).imports == {
        ("wd_server.chain", SHARED): 1,
        ("wd_server.sync", "wd_server.chain"): 1,
        (PROGRAM, SHARED): 1,
        (PROGRAM, "wd_server.sync"): 1,
    }


def test_a_class_name_is_there_twice_only_within_one_program(texts):
    assert structure(texts).twice == {"wd_client": [], "wd_server": ["Entry"]}


def test_handlers_share_their_class_names_with_the_server(texts):
    more = {**texts, "handlers/errors.py": "class Bad: ...\n"}
    assert structure(more).twice["wd_server"] == ["Bad", "Entry"]


def test_tests_are_counted_apart(texts):
    assert structure(texts).tests == 3


def test_packages_that_import_each_other_are_a_circle():
    assert circles({("a", "b"): 1, ("b", "c"): 2, ("c", "a"): 1, ("c", "d"): 1}) == ["a", "b", "c"]
    assert not circles({("a", "b"): 1, ("b", "c"): 2, ("a", "c"): 1})


def test_the_page_sets_both_trees_side_by_side(texts):
    without = {path: text for path, text in texts.items() if "sync" not in path}
    text = page(structure(without), structure(texts))
    assert "| modules | 5 | 6 |" in text
    assert "| class names that a program has twice | 0 | 1 |" in text


def test_the_report_has_a_row_for_each_package_and_one_for_all(texts):
    found = structure(texts)
    lines = list(report(found))
    assert "| wd_server.chain | 1 | 13 | 7 | 2 | 1 | 1 |" in lines
    assert lines[-2:] == [
        "| wd_server.sync | 1 |  |  |",
        "| wd_server/*.py |  | 1 | 1 |",
    ]
    assert totals(found)["packages"] == "5"


def test_an_arrow_that_others_lead_around_is_left_out():
    arrows = {("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d")}
    assert reduced(arrows) == {("a", "b"), ("b", "c"), ("c", "d")}


def test_arrows_that_close_a_circle_are_found():
    arrows = {("a", "b"), ("b", "c"), ("c", "a"), ("d", "b")}
    assert backward("abcd", arrows) == {("c", "a")}


def test_a_box_stands_right_of_all_that_lead_to_it_and_a_first_one_beside_its_reader():
    arrows = {("a", "b"), ("b", "c"), ("late", "c"), ("b", "d")}
    assert columns_of(["a", "b", "c", "d", "late"], arrows) == [["a"], ["b", "late"], ["c", "d"]]


def test_the_drawing_is_the_same_whatever_the_order():
    arrows = [("a", "b"), ("b", "c"), ("a", "d"), ("d", "c"), ("c", "a"), ("a", "e"), ("d", "e")]
    assert drawn("abcde", arrows) == drawn("edcba", arrows[::-1])


def test_what_is_shared_is_not_drawn_and_names_are_short(texts):
    text = drawing(modules_in(texts))
    assert "shared" not in text
    assert ">chain<" in text
    assert text.count('class="arrow"') == 2
