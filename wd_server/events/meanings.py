"""What each field of what is sent means, in one sentence for those who read it."""

from collections.abc import Mapping
from typing import Final

_TIMESTAMP = "Unix seconds when this was sent."

MEANINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "Event": {"wallet": "Which of several wallets this is about; missing where there is only one."},
    "Connected": {
        "stream_id": "Names this connection, in logs too: give it when you ask for help.",
        "wallet": "The wallet; null where there are several.",
        "timestamp": _TIMESTAMP,
        "resumed": "Whether it goes on where `Last-Event-ID` says.",
        "heartbeat_seconds": "The longest silence. After three of them the connection is dead.",
        "follow": "Whether it stays open for new trades.",
        "server": "Name and version of the server.",
        "wallets": "The wallets in the order of the request, where there are several.",
    },
    "Preview": {"trades": "Newest last.", "timestamp": _TIMESTAMP},
    "Progress": {
        "message": "A sentence for people.",
        "percentage": "0 to 100; never goes back.",
        "step": "What is being done.",
        "signatures_found": "Transactions listed so far.",
        "transactions_done": "Transactions read so far.",
        "trades_found": "Trades among them.",
        "timestamp": _TIMESTAMP,
    },
    "Trade": {
        "signature": "The transaction's signature. It and `part` together name a trade.",
        "part": "Which trade of its transaction this is, from 0. Part 0 has all its fees.",
        "parts": "How many trades the transaction has for this wallet.",
        "slot": "The slot of the transaction.",
        "block_index": "Its place in the block; null where the upstream doesn't say.",
        "timestamp": "Unix seconds of the block.",
        "action": "`buy` and `sell` are of a token for SOL or a stable coin; `swap` is of a token "
        "for another; a `burn` destroys one and gets 0 SOL.",
        "token_in": "What the wallet gave.",
        "token_out": "What the wallet got.",
        "token": "The mint that the trade is about: what a sell gave, else what was got.",
        "price_usd": "US dollars for one `token`.",
        "price_sol": "The same in SOL.",
        "value_usd": "US dollars of the whole trade; null when no price is known.",
        "value_sol": "The same in SOL.",
        "fee_sol": "Network fee, tips and platform fees together.",
        "network_fee_sol": "Base and priority fee, where the wallet paid them.",
        "priority_fee_sol": "Of `network_fee_sol`, what was offered to be served sooner.",
        "tip_sol": "What the transaction itself paid for being included in a block.",
        "platform_fee_sol": "What bots, front ends and venues took out of the wallet's SOL.",
        "pnl_usd": "Realized profit or loss; null for a buy, and where no cost is known.",
        "pnl_sol": "The same in SOL.",
        "cost_basis": "How the cost of what is sold is found.",
        "unmatched_amount": "Sold without a known purchase; in no P&L.",
        "position_amount": "What is left of `token` after this trade.",
        "priced": "Whether a value in US dollars is known.",
        "dex": "Where it was traded, `unknown` if no known program took part.",
        "confidence": "`low`: no known program took part, or the amounts aren't exact.",
        "commitment": "How settled the transaction was when it was read.",
        "emitted_at": "Unix milliseconds when the trade was stored: the way from there can be "
        "measured.",
        "number": "Counts trades and retractions from 1 without holes: one that is missing tells "
        "of a loss. Missing in previews and in entries of older servers.",
        "replaces": "Id of this trade's first version, in whose place it stands; missing where it "
        "was never corrected.",
        "postings": "What the transaction moved beside the legs and fees of its trades, on part 0; "
        "missing where that is nothing.",
    },
    "PostedAmount": {
        "kind": "What it was.",
        "mint": "The token's address. SOL stands under wrapped SOL's.",
        "decimals": "Decimals of one whole token.",
        "amount": "In whole tokens; less than 0 where it left the wallet.",
        "amount_raw": "In smallest units, an integer with all its digits.",
        "symbol": "As its maker chose it: show it as text. Missing where it isn't known.",
        "counterparty": "Address that it came from or went to; missing where the transaction "
        "doesn't show exactly one.",
        "place": "Name of the program that keeps it, or why it is unexplained; missing for others.",
    },
    "TokenAmount": {
        "mint": "The token's address. SOL stands under wrapped SOL's.",
        "symbol": "As its maker chose it: show it as text. The mint where there is none.",
        "decimals": "Decimals of one whole token.",
        "amount": "In whole tokens.",
        "amount_raw": "In smallest units, an integer with all its digits.",
    },
    "Trades": {
        "trades": "Oldest first.",
        "batch_num": "Counts from 1 on each connection.",
        "total_yielded": "Trades sent on this connection so far.",
        "has_more": "Whether more is stored that comes at once.",
        "timestamp": _TIMESTAMP,
    },
    "Summary": {
        "cost_basis": "How the cost of what is sold is found.",
        "trades": "All trades.",
        "buys": "Of these, buys.",
        "sells": "Of these, sells.",
        "swaps": "Of these, swaps.",
        "burns": "Of these, burns.",
        "priced_trades": "Trades with a value in US dollars.",
        "unpriced_trades": "Trades without one.",
        "priced_share": "`priced_trades` over `trades`, 0 to 1; null without a trade.",
        "known_cost_share": "Which part of the proceeds of tokens in SOL has a known cost, 0 to 1; "
        "null without proceeds.",
        "volume_sol": "Value of the trades that have one in SOL.",
        "volume_usd": "Value of the trades that have one in US dollars.",
        "realized_pnl_sol": "Realized profit or loss before fees, as far as costs are known; null "
        "where something was sold and no result is known.",
        "realized_pnl_usd": "The same in US dollars.",
        "custody_pnl_sol": "Of it, what positions in pools and unstaking brought beyond their "
        "cost.",
        "burned_cost_sol": "Of it, what was lost by burning: the cost of the burned tokens.",
        "round_trip_pnl_sol": "Result of transactions that ended in what they began with.",
        "fees_sol": "All fees: `network_fees_sol`, `tips_sol`, `platform_fees_sol` and "
        "`failed_fees_sol`.",
        "network_fees_sol": "Base and priority fees.",
        "priority_fees_sol": "Of these, priority fees.",
        "tips_sol": "What transactions themselves paid for being included in a block.",
        "platform_fees_sol": "What bots, front ends and venues took out of the wallet's SOL.",
        "failed_fees_sol": "Network fees of transactions that failed; in no other line.",
        "rent_locked_sol": "Deposits for accounts that the wallet can close, less those that came "
        "back; in no P&L.",
        "rent_paid_sol": "Deposits for accounts that the wallet can't close.",
        "net_pnl_sol": "Realized profit or loss and round trips, less fees and `rent_paid_sol`.",
        "net_pnl_usd": "The same in US dollars, with all but realized results at the mean price of "
        "SOL in the trades; null where it isn't known.",
        "unmatched_sol": "Proceeds of what was sold without a known purchase; in no P&L.",
        "unmatched_usd": "The same in US dollars.",
        "deposited_sol": "What stable coins from outside were worth in SOL; in no P&L.",
        "sent_sol": "SOL that went to others.",
        "received_sol": "SOL that came from others.",
        "rewards_sol": "SOL that came from programs beyond what they kept; in no P&L.",
        "unexplained_sol": "SOL that came, less SOL that went, for no reason that is known.",
        "open_cost_sol": "Cost of what the wallet has.",
        "custody_cost_sol": "SOL that programs keep for the wallet, and cost of tokens there.",
        "transferred_cost_sol": "Cost of what left by transfer; in no P&L.",
        "tokens_traded": "Tokens with a trade.",
        "tokens_sold": "Tokens but stable coins with a sale whose result is known in the currency "
        "they were bought with.",
        "tokens_won": "Of these, those whose sales together made a profit in that currency.",
        "win_rate": "`tokens_won` over `tokens_sold`, 0 to 1; null without a sale.",
        "open_positions": "Tokens that the wallet has, or that programs keep for it; SOL counts as "
        "one where programs keep some.",
        "first_trade_at": "Unix seconds; null without a trade.",
        "last_trade_at": "Unix seconds; null without a trade.",
    },
    "Complete": {
        "status": "Always `complete`.",
        "trades_found": "Trades in the whole history.",
        "duration": "Seconds that reading the wallet took.",
        "summary": "The wallet's totals.",
        "metrics": "What was read from the chain.",
        "truncated": "Whether older transactions than the server reads were left out.",
        "timestamp": _TIMESTAMP,
        "entries": "`trade` and `retract` entries before this one.",
        "digest": "The end of a hash chain over exactly these, in hex, to prove that none is "
        "missing or altered.",
        "entries_all": "`trade`, `retract` and `movement` entries before this one.",
        "digest_all": "The end of a hash chain over exactly these.",
        "reconciliation": "Whether the books agree with the chain. Missing in entries of older "
        "servers.",
    },
    "Reconciliation": {
        "status": "`agrees`: to the unit; `differs`; `unavailable`: the chain's side isn't known.",
        "reason": "Why it isn't whole. `truncated`: older transactions weren't read, and what the "
        "wallet held before and never touched since isn't compared. `unexplained`: a balance "
        "changed and no transaction tells why. `refused`, `no_answer`: the server's Solana RPC "
        "doesn't tell balances, or didn't in time. `behind`: it answered for an old slot.",
        "slot": "The slot of the chain's balances; null where they aren't known.",
        "sol": "Native and wrapped SOL together; null where the chain's side isn't known.",
        "tokens_agree": "Tokens that the wallet holds of which the books have the same amount.",
        "tokens_differ": "Tokens of which they have another.",
        "differences": "These, the first 20.",
        "opening_sol": "SOL that was there before the first transaction that was read.",
        "closing_sol": "SOL after the last one.",
        "checked_at": "Unix seconds when the chain was asked.",
    },
    "SolBalance": {
        "chain": "What the chain says.",
        "books": "What the wallet's transactions add up to.",
        "difference": "What the chain has more.",
    },
    "BalanceDifference": {
        "mint": "The token's address.",
        "account": "The one token account that differs; null where there are several, or the "
        "difference is older.",
        "decimals": "Decimals of one whole token.",
        "chain_raw": "What the chain says, in smallest units.",
        "books_raw": "What the wallet's transactions add up to, in smallest units.",
    },
    "SyncMetrics": {
        "signatures_found": "Transactions listed.",
        "transactions": "Transactions read.",
        "failed_transactions": "Those that failed on the chain; they are no trades.",
        "unpriced_trades": "Trades without a value in US dollars.",
        "movements": "Transactions without a trade that moved something or failed.",
        "unexplained_transactions": "Transactions with a posting that nothing explains.",
        "unexplained_sol": "The SOL of these postings, counted without its sign.",
        "unexplained_reasons": "How many of these transactions there are, by reason. One may have "
        "several.",
    },
    "Retract": {
        "signature": "The transaction's signature.",
        "number": "Counts trades and retractions from 1 without holes.",
    },
    "Movement": {
        "signature": "The transaction's signature.",
        "slot": "The slot of the transaction.",
        "block_index": "Its place in the block; null where the upstream doesn't say.",
        "timestamp": "Unix seconds of the block.",
        "reason": "Why it is no trade, in a word; more may be added. `retracted` takes back what "
        "an earlier movement told of this transaction.",
        "postings": "All that it moved. For each asset they add up to the wallet's change.",
        "commitment": "How settled the transaction was when it was read.",
        "emitted_at": "Unix milliseconds when this was stored.",
        "complete": "Id of the `complete` that still holds; missing where the next is yet to come.",
    },
    "Heartbeat": {"timestamp": _TIMESTAMP},
    "Gap": {
        "reason": "`unknown_id`: it is none of this wallet's; `expired`: it is no longer stored; "
        "`reset`: the history began anew.",
        "from": "The id you sent; empty if it can't be read.",
        "to": "The newest id there is; null if there is none.",
    },
    "Error": {
        "error": "A sentence for people.",
        "code": "For programs; the list of errors says what to do.",
        "details": "What else is known.",
        "timestamp": _TIMESTAMP,
    },
    "ErrorDetails": {"retry_after": "Seconds; missing where coming back is of no use."},
    "Bye": {
        "reason": "Why. After `revoked` and `closed_by_owner` coming back is of no use.",
        "reconnect_after_ms": "When to come back, spread so that clients don't come together.",
    },
    "WalletReport": {
        "wallet": "The address.",
        "status": "Whether the wallet has been read, is being read, or was interrupted: the next "
        "stream goes on with it.",
        "progress": "How much of it has been read; null when nobody reads it.",
        "summary": "The wallet's totals; null before there are any.",
        "positions": "What the wallet has, or what programs keep for it.",
        "truncated": "Whether older transactions than the server reads were left out.",
    },
    "ExplainedTransaction": {
        "wallet": "The address.",
        "signature": "The transaction's signature.",
        "slot": "The slot of the transaction.",
        "block_index": "Its place in the block; null where the upstream doesn't say.",
        "timestamp": "Unix seconds of the block.",
        "reason": "Why it is no trade, in a word; null where it is one.",
        "postings": "All that it moved. For each asset they add up to the wallet's change.",
        "trades": "By part; none where there is a `reason`.",
        "earlier": "What was told of it before corrections, oldest first.",
    },
    "ExplainedTrade": {
        "id": "The id of the trade's event.",
        "trade": "As it is stored.",
        "value_sol_from": "`sol_leg`: the amount of SOL that it gave or got; `quote`: prices of "
        "that minute; null where there is no value, and of a burn, which is worth nothing.",
        "value_usd_from": "The same in US dollars; `stable_coin_at_face`: the amount of a stable "
        "coin that it gave or got, a dollar each.",
        "quotes": "The prices behind these values, as far as the values tell them. Of a swap of "
        "two other tokens each has the price that it was traded at: which one was quoted isn't "
        "stored.",
        "lots": "What it gave, by purchase, oldest first; none where it gave SOL.",
    },
    "UsedQuote": {
        "mint": "The token's address. SOL stands under wrapped SOL's.",
        "minute": "Unix seconds when the minute began.",
        "price_usd": "US dollars for one whole token, to twelve digits.",
    },
    "ConsumedLot": {
        "signature": "The transaction that brought them; null where none did that was read, and "
        "under average cost, where they are a share of one pool.",
        "amount": "In whole tokens.",
        "amount_raw": "In smallest units, an integer with all its digits.",
        "cost_sol": "What those of known cost have cost; null where there are none.",
        "cost_usd": "The same in US dollars.",
        "known": "Whether the cost of all of them is known in SOL.",
    },
    "EarlierVersion": {
        "id": "The id of its event.",
        "trade": "A trade; null where it was a movement.",
        "movement": "A movement; null where it was a trade.",
    },
    "Position": {
        "mint": "The token's address.",
        "decimals": "Decimals of one whole token.",
        "amount": "In whole tokens, in the wallet itself.",
        "amount_raw": "In smallest units, an integer with all its digits.",
        "unknown_amount": "Of these, what came without a known cost in SOL.",
        "cost_sol": "What those with a known cost were bought for.",
        "cost_usd": "The same in US dollars.",
        "average_cost_sol": "For one whole token of those.",
        "average_cost_usd": "The same in US dollars.",
        "realized_pnl_sol": "Of this token's sales; null before the first with a known cost.",
        "price_usd": "US dollars for one whole token now; null where no source has a price.",
        "value_usd": "What `amount` is worth at that.",
        "unrealized_pnl_usd": "What those with a known cost in US dollars are worth, less it.",
        "held": "Whether the wallet itself has any.",
        "in_custody": "What programs keep of it for the wallet; it still belongs to the wallet.",
    },
    "InCustody": {
        "place": "Who keeps it.",
        "amount": "In whole tokens.",
        "amount_raw": "In smallest units, an integer with all its digits.",
        "cost_sol": "What those with a known cost were bought for.",
    },
}
