"""Checks a wallet's profit and loss: python3 check_pnl.py SERVER RPC WALLET [KEY]

It holds the postings of each transaction, as the server explains it, against the balances that the
RPC tells, FIFO books of its own against the server's figures, and the lines of the summary against
how the wallet's SOL changed, all to the lamport. It exits with 1 if anything differs. Its books
know no loans, and no positions in pools that have no share.
"""

import json
import sys
import time
from collections import Counter, defaultdict
from decimal import Decimal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

SOL = "So11111111111111111111111111111111111111112"
# Lines of the summary that make up how the wallet's SOL changed.
PLUS = "realized_pnl unmatched deposited round_trip_pnl received rewards unexplained"
MINUS = "fees rent_locked rent_paid sent open_cost custody_cost transferred_cost"
FEES = ("network_fee", "priority_fee", "tip", "platform_fee")


def asked(url, headers, body=None):
    """The answer in JSON; None where there is nothing. Waits when it is told to."""
    while True:
        try:
            with urlopen(Request(url, body, headers)) as answer:
                return json.load(answer, parse_float=Decimal)
        except HTTPError as error:
            if error.code == 404:
                return None
            if "Retry-After" not in error.headers:
                raise
            time.sleep(float(error.headers["Retry-After"]))


def read(rpc, wallet):
    """Place and changes of what touched the wallet or its token accounts, oldest first."""

    def called(method, argument, **options):
        params = [argument, {"commitment": "confirmed", **options}]
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        return asked(rpc, {"Content-Type": "application/json"}, body)["result"]

    addresses, found = [wallet], {}
    form = {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 1}
    for address in addresses:
        older = {}
        while page := called("getSignaturesForAddress", address, **older):
            older = {"before": page[-1]["signature"]}
            for signature in [each["signature"] for each in page if each["signature"] not in found]:
                told, changed = called("getTransaction", signature, **form), Counter()
                keys = [key["pubkey"] for key in told["transaction"]["message"]["accountKeys"]]
                for sign, when in ((-1, "pre"), (1, "post")):
                    lamports = dict(zip(keys, told["meta"][f"{when}Balances"], strict=True))
                    changed[SOL] += sign * lamports.get(wallet, 0)
                    for each in told["meta"][f"{when}TokenBalances"]:
                        account = keys[each["accountIndex"]]  # old blocks don't say whose it is
                        if each.get("owner", wallet if account in addresses else "") == wallet:
                            changed[each["mint"]] += sign * int(each["uiTokenAmount"]["amount"])
                            addresses += {account}.difference(addresses)
                changed = {mint: raw for mint, raw in changed.items() if raw}
                found[signature] = (told["slot"], -len(found)), changed
    return sorted(found.items(), key=lambda each: each[1][0])


class Books:
    """Lots of [units, cost, units of unknown cost, units gone] by place and mint: "" is the wallet,
    ">..." who was sent something. The sums are lamports by result or, as changes, by posting."""

    def __init__(self):
        self.lots, self.sums = defaultdict(list), Counter()

    def put(self, place, mint, units, cost=0, unknown=0):
        if units and mint != SOL and place != ">" and (units > unknown or place[:1] != ">"):
            self.lots[place, mint].append([units, cost, unknown, 0])

    def take(self, place, mint, units):
        """Pieces of the oldest lots, and what isn't there, at an unknown cost. SOL costs itself."""
        lots, pieces = self.lots[place, mint], []
        while units and lots and mint != SOL:
            size, *carried, gone = lots[0]
            lots[0][3] = after = min(size, gone + units)
            pieces.append([after - gone, *(c * after // size - c * gone // size for c in carried)])
            units -= after - gone
            del lots[: after == size]
        return [*pieces, [units, units, 0] if mint == SOL else [units, 0, units]]

    def exchange(self, given, came, value=None, is_buy=False):
        """What was given is the cost of what came; or, where that has a value, a sale."""
        pieces = [piece for mint, raw in given or [("", 1)] for piece in self.take("", mint, raw)]
        units, cost, unknown = map(sum, zip(*pieces, strict=True))
        tokens = [(mint, raw) for mint, raw in came if mint != SOL]
        if value is not None:
            matched, unknown = value * (units - unknown) // units, 0
            result = 0 if is_buy else matched - cost
            self.sums["unmatched"] += value - matched
            cost += result + value - matched
        else:  # SOL that came beside a token repays the cost first
            back = sum(raw for mint, raw in came if mint == SOL)
            cost -= back - (result := max(0, back - cost))
        self.sums["realized"] += result
        for number, (mint, raw) in enumerate(tokens):
            part = cost // (len(tokens) - number)
            self.put("", mint, raw, part, raw * unknown // units)
            cost -= part

    def move(self, kind, place, mint, raw):
        source = "" if raw < 0 else place if kind in ("custody_in", "received") else ">"
        is_free = kind in ("leftover", "bought")
        pieces = [[raw, 0, 0]] if is_free else self.take(source, mint, abs(raw))
        for piece in pieces:
            self.put(place if raw < 0 else "", mint, *piece)
        return -sum(piece[1] for piece in pieces) if raw < 0 else 0

    def record(self, told):
        groups = defaultdict(list)
        for each in told["postings"]:
            kind, mint, raw = each["kind"], each["mint"], int(each["amount_raw"])
            place = each.get("place") or ">" + each.get("counterparty", "")
            if kind in ("sold", "bought"):
                moved = raw if mint == SOL or told["trades"] else self.move(kind, ">", mint, raw)
                self.sums["round_trip"] += 0 if told["trades"] else moved
            elif mint == SOL and not kind.startswith("custody"):
                self.sums[kind] += raw
            elif kind != "burned" or not told["trades"] or "place" in each:
                groups[place].append((kind, mint, raw))
        for late in (False, True):  # what came, then the trades, then what went
            for place, moves in groups.items():
                shares = {kind for kind, _, _ in moves} & {"minted", "burned"}
                if shares and late != ("burned" in shares):  # they are made late, redeemed early
                    given = [(mint, -raw) for _, mint, raw in moves if raw < 0]
                    came = [(mint, raw) for _, mint, raw in moves if raw > 0]
                    self.exchange(given, came, came[0][1] if [*dict(came)] == [SOL] else None)
                for kind, mint, raw in () if shares else moves:
                    if late == (raw < 0):
                        self.move(kind, place, mint, raw)
            for trade in () if late else [each["trade"] for each in told["trades"]]:
                legs = (trade["token_in"], trade["token_out"])
                given, came = [(leg["mint"], int(leg["amount_raw"])) for leg in legs]
                value = None if trade["value_sol"] is None else int(trade["value_sol"] * 10**9)
                self.exchange([given], [came], value, trade["action"] == "buy")


def main(server, rpc, wallet, key=""):
    headers, base = ({"X-API-Key": key} if key else {}), f"{server}/v4/wallet/{wallet}"
    books, wrong, change = Books(), 0, 0
    urlopen(Request(f"{base}/stream", headers=headers)).read()  # so that all of it is read
    for signature, (_, changed) in read(rpc, wallet):
        told = asked(f"{base}/explain/{signature}", headers) or {"postings": [], "trades": []}
        posted = Counter()
        for each in told["postings"]:
            is_step = each.get("place") == "step"  # before it, in no transaction that is listed
            posted["step" if is_step else each["mint"]] += int(each["amount_raw"])
            change += int(each["amount_raw"]) if is_step and each["mint"] == SOL else 0
        if {mint: raw for mint, raw in posted.items() if raw and mint != "step"} != changed:
            print(f"{signature}: the postings are {dict(posted)}, the chain has {changed}")
            wrong += 1
        books.record(told)
        change += changed.get(SOL, 0)
    told, names = asked(base, headers)["summary"], f"{PLUS} {MINUS} net_pnl".split()
    its = {name: int((told[f"{name}_sol"] or 0) * 10**9) for name in names}
    its["unmatched + deposited"] = its["unmatched"] + its["deposited"]
    its["change of SOL"] = sum(its[n] for n in PLUS.split()) - sum(its[n] for n in MINUS.split())
    lots = [lot for (place, _), lots in books.lots.items() if not place for lot in lots]
    sums, fees = books.sums, -sum(books.sums[kind] for kind in FEES)
    own = {
        "realized_pnl": sums["realized"],
        "unmatched + deposited": sums["unmatched"],
        "fees": fees,
        "net_pnl": sums["realized"] + sums["round_trip"] - fees + sums["rent_paid"],
        "open_cost": sum(cost - cost * gone // size for size, cost, _, gone in lots),
        "change of SOL": change,
    }
    print(f"{'lamports':24}{'by the chain':>20}{'by the server':>20}")
    for name, found in own.items():
        print(f"{name:24}{found:>20}{its[name]:>20}{'' if found == its[name] else '   differs'}")
        wrong += found != its[name]
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(*sys.argv[1:]) else 0)
