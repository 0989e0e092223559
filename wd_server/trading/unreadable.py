"""What is known of a transaction that can't be read: at most how the wallet's balances changed."""

from wd_server.chain.payloads import UnreadableTransaction
from wd_server.trading.effects import effects_of
from wd_server.trading.interpretation import Interpretation, interpret
from wd_server.trading.postings import Posting
from wd_server.trading.programs import SOL, SOL_DECIMALS

# Why a posting is unexplained.
PLACE = "unreadable"
# Nothing but that there was something: a posting of 0, so that it is told of and counted.
UNKNOWN = Interpretation(
    (), "unreadable", (Posting("unexplained", SOL, 0, SOL_DECIMALS, place=PLACE),)
)


def interpret_unreadable(transaction: UnreadableTransaction, wallet: str) -> Interpretation:
    """No trade. Where balances can be read their changes are unexplained, but for the network fee;
    a failed transaction needs no more than that. Where they can't, the
    wallet's next balances show what it was."""
    if transaction.balances is None:
        return UNKNOWN
    effects = effects_of(transaction.balances, wallet)
    if effects.failed:
        return interpret(effects)
    fee = effects.network_fee
    moved = [(SOL, effects.lamports + fee, SOL_DECIMALS)]
    moved += [(mint, delta.raw, delta.decimals) for mint, delta in effects.tokens.items()]
    postings = [Posting("network_fee", SOL, -fee, SOL_DECIMALS)] if fee else []
    postings += [
        Posting("unexplained", mint, raw, decimals, place=PLACE)
        for mint, raw, decimals in moved
        if raw
    ]
    return Interpretation((), "unreadable", tuple(postings))
