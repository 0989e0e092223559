"""Whether the server's books agree with the chain, for people."""

from typing import Final

from wd_client.events import Complete

from wd_tools.watch import figures

# What follows where the comparison isn't whole.
_WHY: Final = {
    "truncated": ": older transactions were not read",
    "unexplained": ": a balance changed and no transaction explains it",
    "refused": ": the server's Solana RPC doesn't tell balances",
    "no_answer": ": the server's Solana RPC didn't answer in time",
    "behind": ": the server's Solana RPC answered for an old slot",
}


def agreement(complete: Complete) -> str | None:
    """In one line; None where the server doesn't say."""
    found = complete.reconciliation
    if found is None:
        return None
    if found.status == "agrees":
        slot = figures.count(found.slot)
        agrees = f"The books agree with the chain to the lamport at slot {slot}"
        return f"{agrees}, as far back as they go" if found.reason == "truncated" else agrees
    why = _WHY.get(str(found.reason), "")
    if found.status == "differs":
        sol = None if found.sol is None else found.sol.difference
        tokens = figures.count(found.tokens_differ)
        return f"The chain has {figures.signed(sol)} SOL and differs in {tokens} tokens{why}"
    return f"The books were not compared with the chain{why}"
