"""A Protocol is a seam where something else can be put in. One that only one class fulfils is a
second name for that class, and costs its reader a jump: it needs a reason."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from math import inf

from bench.source import Function, Module, base_name, installed, is_protocol

# Protocols that one class fulfils, or a class of a library, and why they are there.
ALONE = {
    "wd_server.chain.live.PushObserver": "sync fulfils it, and imports chain",
    "wd_server.chain.live.PushSource": "tests push without an upstream",
    "wd_server.chain.websocket.SocketObserver": "live fulfils it, and imports websocket",
    "wd_server.config.variables.Others": "settings as far as they are read, while they are read",
    "wd_server.http1.ConnectionOwner": "the listener fulfils it, and imports http1",
    "wd_server.http_exchange.Wire": "Http1 fulfils it, and imports http_exchange",
    "wd_server.journal.base.Topic": "a part of the contract; both journals hand out one class",
    "wd_server.logs.AccessedHandler": "the two members of Tornado's handler that are logged",
    "wd_server.streaming.bundle_id.Signer": "access fulfils it, which streaming doesn't know",
    "wd_server.streaming.channel.Pump": "the registry fulfils it, and imports channel",
    "wd_server.streaming.connection.StreamOwner": "the registry fulfils it, and imports connection",
    "wd_server.streaming.demand.WalletSessions": "sync fulfils it, which streaming doesn't know",
    "wd_server.sync.relay.Interest": "the sessions fulfil it, and import relay",
    "wd_server.sync.relay.WalletObserver": "a wallet's channel fulfils it, which sync doesn't know",
    "wd_server.sync.sources.Symbols": "tests name tokens without an upstream",
    "wd_tools.simulator.hub.Peer": "the handler fulfils it, and imports hub",
}


class Kind(Enum):
    ATTRIBUTE = "a field of the class, or a property"
    METHOD = "defined in the class"
    SET = "set on self by a method; it may be a function, too"


@dataclass(frozen=True)
class Member:
    """`arguments`: how many a method takes besides `self`."""

    kind: Kind
    arguments: float = 0

    def serves_as(self, wanted: "Member") -> bool:
        """The same kind; a method with at least as many arguments."""
        if self.kind is Kind.SET or wanted.kind is Kind.SET:
            return True
        return self.kind is wanted.kind and self.arguments >= wanted.arguments


@dataclass(frozen=True)
class Class:
    module: Module
    node: ast.ClassDef

    @property
    def name(self) -> str:
        return f"{self.module.name}.{self.node.name}"


@cache
def classes() -> dict[str, Class]:
    """By full name. Tests aren't looked at: what is there for them alone is no second way."""
    found = [Class(module, node) for module in installed() for node in module.classes]
    return {one.name: one for one in found}


def bases(one: Class) -> Iterator[Class]:
    """Those that are ours."""
    imported = {name.rpartition(".")[2]: name for name, _ in one.module.imports}
    for base in one.node.bases:
        head, dot, rest = base_name(base).partition(".")
        for name in (f"{one.module.name}.{head}", imported.get(head, head) + dot + rest):
            if name in classes():
                yield classes()[name]


@cache
def members(name: str) -> dict[str, Member]:
    """Of a class and its bases: methods, fields, and what methods set on `self`."""
    one = classes()[name]
    found: dict[str, Member] = {}
    for base in bases(one):
        found |= members(base.name)
    for node in ast.walk(one.node):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            of_self = ast.unparse(node.value) == "self"
            found |= {node.attr: Member(Kind.SET)} if of_self else {}
    for node in one.node.body:
        if isinstance(node, Function):
            found[node.name] = _method(node)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = Member(Kind.ATTRIBUTE)
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            found |= dict.fromkeys(names, Member(Kind.ATTRIBUTE))
    return found


def _method(node: Function) -> Member:
    if any(ast.unparse(each).endswith("property") for each in node.decorator_list):
        return Member(Kind.ATTRIBUTE)
    if node.args.vararg is not None:
        return Member(Kind.METHOD, inf)
    given = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    return Member(Kind.METHOD, len(given) - 1)


def fulfilling(protocol: str) -> list[str]:
    """Classes that have all its members, whether they name it as a base or not."""
    wanted = members(protocol)
    return [
        name
        for name, one in classes().items()
        if not is_protocol(one.node)
        and all(
            (has := members(name).get(member)) is not None and has.serves_as(want)
            for member, want in wanted.items()
        )
    ]


def test_a_protocol_is_fulfilled_by_more_than_one_class_or_says_why_it_is_there() -> None:
    protocols = [name for name, one in classes().items() if is_protocol(one.node)]
    alone = {name: found for name in protocols if len(found := fulfilling(name)) < 2}
    assert not {name: found for name, found in alone.items() if name not in ALONE}
    assert alone.keys() == ALONE.keys(), "a reason without its Protocol: take it off the table"


def test_journals_are_found_to_fulfil_the_contract_that_none_of_them_names_as_a_base() -> None:
    assert len(fulfilling("wd_server.journal.base.Journal")) >= 2
