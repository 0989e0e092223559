"""What a request carries and what it is answered with is written down once: as a row, and as a
Struct. Nothing in `handlers/` goes past them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# JSON Schema's names of types, and what else only a schema says.
TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}
KEYWORDS = {"properties", "items", "minItems", "maxItems", "minimum", "maximum", "pattern", "enum"}
# Who puts together schemas that msgspec made; and whose fields have a bound that `Authenticator`
# checks, because a setting says what the other bound is.
OF_SCHEMAS = {"openapi.py", "parameters.py"}


@cache
def trees() -> dict[str, ast.Module]:
    return {path.name: ast.parse(path.read_text()) for path in (ROOT / "handlers").glob("*.py")}


def nodes() -> Iterator[tuple[str, ast.AST]]:
    for name, tree in trees().items():
        for node in ast.walk(tree):
            yield name, node


def calls(method: str) -> Iterator[tuple[str, ast.Call]]:
    """Calls of a method of this name, on anything."""
    for name, node in nodes():
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == method:
            yield name, node


def test_there_are_handlers_to_look_at() -> None:
    assert len(trees()) > 15
    assert len(list(calls("send_json"))) > 8


@pytest.mark.parametrize("wrong", [ast.Dict, ast.DictComp, ast.List, ast.ListComp, ast.Tuple])
def test_no_handler_sends_what_is_no_struct(wrong: type[ast.AST]) -> None:
    """The type of `send_json` refuses the rest: mypy sees that."""
    assert not [
        f"{name}:{node.lineno}"
        for name, node in calls("send_json")
        if any(isinstance(argument, wrong) for argument in node.args)
    ]


def test_what_sends_json_takes_a_struct() -> None:
    (taken,) = [
        node.args.args[1].annotation
        for name, node in nodes()
        if isinstance(node, ast.FunctionDef) and node.name == "send_json"
    ]
    assert taken is not None
    assert ast.unparse(taken) == "Struct"


def test_no_json_is_made_but_by_what_sends_a_struct_or_a_problem() -> None:
    encoders = {"encode", "dumps"}
    made = [
        f"{name}: {ast.unparse(node)}"
        for method in encoders
        for name, node in calls(method)
        if any(word in ast.unparse(node.func) for word in ("encoding", "json", "encoder"))
    ]
    assert len(made) == 2, made
    assert all(each.startswith("base.py: encoding.encode(") for each in made)


def test_no_schema_is_written_by_hand() -> None:
    written = []
    for name, node in nodes():
        if not isinstance(node, ast.Dict):
            continue
        fields = {
            key.value: value
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        }
        kind = fields.get("type")
        is_type = isinstance(kind, ast.Constant) and kind.value in TYPES
        if is_type or (fields.keys() & KEYWORDS and name not in OF_SCHEMAS):
            written.append(f"{name}:{node.lineno}: {ast.unparse(node)[:60]}")
    assert not written


def test_a_request_is_read_by_the_names_of_rows() -> None:
    """Not by texts: `query.get("batch")` would be read without being described."""
    assert not [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for method in ("get", "get_argument", "get_query_argument", "get_arguments")
        for name, node in calls(method)
        if isinstance(node.func, ast.Attribute)
        and "query" in ast.unparse(node.func.value)
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]
