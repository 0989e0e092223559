"""The SOL that a wallet paid beside what it traded, told apart by flow: rent and payments.

Lamports that opened an account are rent, whatever their number: the rate per byte changes. What
went to a maker is the price. The rest went to somebody who gave nothing for it; whether that is a
fee or a payment depends on whether there was a trade, which isn't decided here.
"""

from collections.abc import Sequence, Set
from typing import Final

from msgspec import Struct

from wd_server.trading.balances import Balances
from wd_server.trading.instructions import Flow, FlowKind
from wd_server.trading.parties import Parties
from wd_server.trading.programs import SOL
from wd_server.trading.rent import is_rent, may_be_rent

Call = tuple[int, str]
"""Where a flow happened: number of the transaction's own instruction, and the caller."""


class Payment(Struct, frozen=True, gc=False):
    """Lamports that the wallet gave to who gave nothing for it.

    target: the owner that got them
    lamports: how many
    outer: whether the transaction's own instruction gave them, and not as wrapped SOL
    caller: the program inside which they were given, empty if outer or nobody says
    new: whether the target had nothing before
    """

    target: str
    lamports: int
    outer: bool
    caller: str = ""
    new: bool = False


class SolPostings(Struct, frozen=True, gc=False):
    """In lamports.

    rent_locked: deposits for the wallet's own token accounts
    rent_returned: what came back of such deposits
    rent_paid: deposits for other accounts; less than 0 for what came back
    payments: to whom the wallet gave SOL beside a trade
    """

    rent_locked: int = 0
    rent_returned: int = 0
    rent_paid: int = 0
    payments: tuple[Payment, ...] = ()

    @property
    def total(self) -> int:
        paid = sum([payment.lamports for payment in self.payments])
        return self.rent_locked - self.rent_returned + self.rent_paid + paid


def assumed_postings(balances: Balances) -> SolPostings:
    """Without looking at instructions: who pays the fee pays the rent and gets it back."""
    paid = balances.payer == balances.wallet
    rents = balances.own_rent().values()
    locked = sum([rent for rent in rents if rent > 0 and paid])
    return SolPostings(locked, -sum([rent for rent in rents if rent < 0]))


def attributed_postings(balances: Balances, parties: Parties, flows: Sequence[Flow]) -> SolPostings:
    """What the `flows` say the wallet paid beside a trade."""
    sol = _SolFlows(balances, parties, flows)
    locked, unlocked, paid = sol.locked(), sol.unlocked(), sol.paid()
    left = balances.lamports + balances.network_fee + locked - unlocked + paid
    returned = sol.returned(left)
    return SolPostings(locked, unlocked, paid - returned, sol.payments(left - returned))


# What tells that an account belongs to a program afterwards.
_OPENING: Final = frozenset[FlowKind](("create", "allocate", "assign", "open"))


class _SolFlows:
    """Sorts the flows of SOL from and to the wallet.

    _opened: accounts that the transaction opened for a program
    _unlisted: token accounts of the wallet that no list of balances has
    _locked, _unlocked: lamports for and from the wallet's own accounts that no balance tells, less
        than 0 for what others paid for them and what went to others
    _lent: deposits for such accounts that are closed again, by account
    _deposits: lamports that the wallet paid for opening each account of somebody else
    _returned: lamports that came back when an account of somebody else was closed
    _priced: by native account of a maker: transfers of the wallet to it
    _loose: payments to owners that are no makers, and the call of each
    _settled: calls in which a maker took SOL of the wallet, or any tokens
    _gave: calls in which somebody else gave tokens
    _givers: by owner: numbers of the transaction's own instructions in which it gave tokens
    _senders: accounts that transferred lamports by themselves
    """

    def __init__(self, balances: Balances, parties: Parties, flows: Sequence[Flow]) -> None:
        self._balances, self._parties = balances, parties
        self._opened = {flow.target for flow in flows if flow.kind in _OPENING}
        # The last that names an owner.
        owners = {flow.target: flow.owner for flow in flows if flow.kind in ("open", "set_owner")}
        opened = {account for account, owner in owners.items() if owner == balances.wallet}
        self._unlisted = opened - balances.changes.owners.keys()
        self._locked = self._unlocked = 0
        self._lent: dict[str, int] = {}
        self._deposits: dict[str, int] = {}
        self._returned: dict[str, int] = {}
        self._priced: dict[str, list[Flow]] = {}
        self._loose: list[tuple[Payment, Call]] = []
        self._settled: set[Call] = set()
        self._gave: set[Call] = set()
        self._givers: dict[str, set[int]] = {}
        self._senders: set[str] = set()
        for flow in flows:
            kind = flow.kind
            if kind == "transfer":
                self._transferred(flow)
            elif kind == "tokens":
                self._gave_tokens(flow)
            elif kind == "create":
                self._created(flow)
            elif kind in ("close", "excess"):
                self._closed(flow)

    def locked(self) -> int:
        """Deposits for the wallet's own token accounts."""
        rents = self._balances.own_rent().values()
        return self._locked + sum([rent for rent in rents if rent > 0])

    def unlocked(self) -> int:
        """What came back of them."""
        rents = self._balances.own_rent().values()
        return self._unlocked - sum([rent for rent in rents if rent < 0])

    def paid(self) -> int:
        """Deposits for other accounts, never more than each has gained. Lamports that went to a
        maker's own account beside the instruction in which it gave something made it larger."""
        for maker, transfers in self._priced.items():
            indexes = self._givers.get(maker)
            for flow in transfers:
                if indexes and flow.index not in indexes:
                    self._deposit(maker, flow.raw)
        return sum([min(self._gained(target), raw) for target, raw in self._deposits.items()])

    def returned(self, left: int) -> int:
        """What came back from other accounts, where that can be in what is `left`. A program
        gives an account's lamports back without an instruction: to the wallet if it made the
        transaction, if its tokens moved or other deposits came, or if nothing else came."""
        balances, natives = self._balances, self._balances.natives
        owners, gains = balances.changes.owners, set(natives.values())
        takes_part = balances.payer == balances.wallet or balances.changes.own or self._returned
        total = sum(self._returned.values())
        for address in self._balances.emptied - self._senders - owners.keys():
            lamports = -natives.get(address, 0)
            if address in self._returned or lamports in gains or total + lamports > left:
                continue
            if is_rent(lamports) and (takes_part or total + lamports == left):
                total += lamports
        return total

    def payments(self, left: int) -> tuple[Payment, ...]:
        """All but those to a pool of which each vault has another owner: in a call in which
        somebody gave and no maker took anything, the largest is the price. Where the wallet
        gained tokens and nothing else of its SOL is `left` as their price, the largest is it,
        too. Where SOL is what the wallet gained, no payment is a price."""
        calls = {call for payment, call in self._loose if not payment.outer and left < 0}
        prices = self._largest_of((calls - self._settled) & self._gave)
        loose = [one for one in self._loose if prices.get(one[1]) is not one]
        spent = sum([payment.lamports for payment, _ in loose])
        inner = [one for one in loose if not one[0].outer]
        if inner and not self._settled and left + spent >= 0 and self._only_gains():
            loose.remove(_largest(inner))
        return tuple([payment for payment, _ in loose])

    def _largest_of(self, calls: Set[Call]) -> dict[Call, tuple[Payment, Call]]:
        """The largest payment of each call, the first of them where several are."""
        largest: dict[Call, tuple[Payment, Call]] = {}
        for one in self._loose:
            payment, call = one
            if call in calls and (
                call not in largest or payment.lamports > largest[call][0].lamports
            ):
                largest[call] = one
        return largest

    def _only_gains(self) -> bool:
        tokens = self._balances.changes.tokens()
        return bool(tokens) and all(delta.raw > 0 for delta in tokens.values())

    def _gained(self, address: str) -> int:
        """Lamports beside wrapped SOL."""
        changes = self._balances.changes
        wrapped = changes.accounts[address] if changes.mints.get(address) == SOL else 0
        return self._balances.natives.get(address, 0) - wrapped

    def _created(self, flow: Flow) -> None:
        if flow.target in self._balances.changes.own:
            if flow.source != self._balances.wallet:
                self._locked -= flow.raw
        elif flow.target in self._unlisted and flow.target not in self._balances.natives:
            if is_rent(flow.raw) and flow.source != self._balances.wallet:
                self._lent[flow.target] = flow.raw
        elif flow.source == self._balances.wallet:
            if flow.target in self._unlisted and self._gained(flow.target) > 0:
                self._locked += flow.raw
            else:
                self._paid_in(flow)

    def _paid_in(self, flow: Flow) -> None:
        """Lamports for an account that is opened."""
        if may_be_rent(flow.raw):
            self._deposit(flow.target, flow.raw)
        else:
            lamports = min(flow.raw, max(0, self._balances.natives.get(flow.target, 0)))
            self._pay(flow, Payment(flow.target, lamports, flow.outer, flow.caller, new=True))

    def _pay(self, flow: Flow, payment: Payment) -> None:
        if payment.lamports:
            self._loose.append((payment, (flow.index, flow.caller)))

    def _deposit(self, target: str, lamports: int) -> None:
        if self._gained(target) > 0:
            self._deposits[target] = self._deposits.get(target, 0) + lamports

    def _closed(self, flow: Flow) -> None:
        lamports, changes = -self._gained(flow.source), self._balances.changes
        is_back = flow.target == self._balances.wallet
        if flow.source in changes.own:
            if not is_back and lamports > 0:
                self._gave_deposit(flow, lamports)
        elif is_back:
            self._came_back(flow, lamports)

    def _came_back(self, flow: Flow, lamports: int) -> None:
        """An account that isn't listed as the wallet's was closed to the wallet."""
        changes = self._balances.changes
        self._unlocked += self._lent.pop(flow.source, 0)
        if lamports > 0 and flow.authority == flow.target:
            # An own account that no list of balances has.
            self._unlocked += lamports
            self._returned[flow.source] = 0
        elif lamports > 0 and (flow.source in changes.owners or is_rent(lamports)):
            self._returned[flow.source] = lamports

    def _gave_deposit(self, flow: Flow, lamports: int) -> None:
        """Of an own account, to somebody else: who makes the transaction, and paid it perhaps, or
        who is given it."""
        if flow.target == self._balances.payer:
            self._unlocked -= lamports
        else:
            self._pay(flow, Payment(flow.target, lamports, flow.outer, flow.caller))

    def _transferred(self, flow: Flow) -> None:
        target, wallet = flow.target, self._balances.wallet
        changes = self._balances.changes
        self._senders.add(flow.source)
        if flow.source != wallet:
            if target in changes.own and target in self._opened:
                self._locked -= flow.raw
            return
        gained = self._balances.natives.get(target, 0)
        if target in changes.own or gained <= 0:
            return  # Wrapped, or passed on.
        owner, call = changes.owners.get(target, target), (flow.index, flow.caller)
        if owner in self._parties.makers and (owner == target or target not in self._opened):
            if owner not in self._parties.sharers:
                self._settled.add(call)
            self._priced.setdefault(owner, []).append(flow)
        elif target in self._opened:
            self._paid_in(flow)
        else:
            new = target in self._balances.opened
            lamports = min(flow.raw, gained)
            self._pay(flow, Payment(owner, lamports, flow.outer, flow.caller, new))

    def _gave_tokens(self, flow: Flow) -> None:
        changes, parties = self._balances.changes, self._parties
        call, taker = (flow.index, flow.caller), changes.owners.get(flow.target, "")
        if taker in parties.makers and taker not in parties.sharers:
            self._settled.add(call)
        if flow.authority != self._balances.wallet:
            if changes.mints.get(flow.source) != SOL:
                self._gave.add(call)
            giver = changes.owners.get(flow.source, flow.authority)
            self._givers.setdefault(giver, set()).add(flow.index)
            return
        if taker in parties.makers or taker == self._balances.wallet:
            return
        if changes.mints.get(flow.target) == SOL and changes.accounts[flow.target] > 0:
            self._pay(flow, Payment(taker, flow.raw, outer=False, caller=flow.caller))


def _largest(payments: list[tuple[Payment, Call]]) -> tuple[Payment, Call]:
    return max(payments, key=lambda one: one[0].lamports)
