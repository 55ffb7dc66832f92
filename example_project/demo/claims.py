"""Claims: what pgq-orm promises of this demo, each held against what the customers were told and what was found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from example_project.demo.customers import Told
from example_project.demo.findings import Findings

SHOWN = 3
"""How many culprits a broken claim names."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of the summary."""

    subject: str
    figure: str
    promise: str
    problems: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.problems


def claims(told: Told, found: Findings) -> list[Claim]:
    """All claims, in the order of the summary."""
    return [claim(told, found) for claim in CLAIMS]


def orders_placed(told: Told, found: Findings) -> Claim:
    return Claim(
        "Orders placed",
        f"{len(found.orders):,}",
        "those that customers were told of, and no other",
        (
            *_problem("told, but not in the database", told.ordered - found.orders.keys()),
            *_problem("in the database, but never told", found.orders.keys() - told.ordered),
        ),
    )


def orders_rolled_back(told: Told, found: Findings) -> Claim:
    return Claim(
        "Orders rolled back",
        f"{len(told.declined):,}",
        "in no table and no e-mail is one of their numbers",
        _problem("left a trace", told.declined & found.mentioned),
    )


def receipts_sent(told: Told, found: Findings) -> Claim:
    return Claim(
        "Receipts sent",
        f"{sum(found.receipts.values()):,}",
        "one e-mail on disk for each order, and none besides",
        (
            *_problem("no receipt", found.orders.keys() - found.receipts.keys()),
            *_problem("more than one receipt", (name for name, count in found.receipts.items() if count > 1)),
            *_problem("a receipt for what is no order", found.receipts.keys() - found.orders.keys()),
            *_problem("sent, but not noted as sent", found.receipts.keys() - found.receipt_rows),
            *_problem("noted as sent, but not sent", found.receipt_rows - found.receipts.keys()),
        ),
    )


def transfers_accepted(told: Told, found: Findings) -> Claim:
    return Claim(
        "Transfers accepted",
        f"{len(found.transfers):,}",
        "those that customers were told of, and no other",
        (
            *_problem("told, but not in the database", told.moved - found.transfers.keys()),
            *_problem("in the database, but never told", found.transfers.keys() - told.moved),
        ),
    )


def transfers_rolled_back(told: Told, found: Findings) -> Claim:
    return Claim(
        "Transfers rolled back",
        f"{len(told.over_limit):,}",
        "in no table is one of their ids",
        _problem("left a trace", told.over_limit & found.mentioned),
    )


def entries_posted(told: Told, found: Findings) -> Claim:
    amounts = {**found.orders, **found.transfers}
    posted = {name: sorted(sides) for name, sides in found.entries.items()}
    return Claim(
        "Entries posted",
        f"{sum(map(len, posted.values())):,}",
        "a debit and a credit for each order and transfer, none besides",
        (
            *_problem("not posted", amounts.keys() - posted.keys()),
            *_problem("posted, but never asked for", posted.keys() - amounts.keys()),
            *_problem(
                "posted wrongly",
                (
                    name
                    for name in amounts.keys() & posted.keys()
                    if posted[name] != [-amounts[name], amounts[name]]
                ),
            ),
        ),
    )


def books_balance(told: Told, found: Findings) -> Claim:
    amounts = [amount for sides in found.entries.values() for amount in sides]
    debits, turnover = sum(amount for amount in amounts if amount > 0), sum(found.orders.values())
    return Claim(
        "Books balance",
        f"{debits / 100:,.2f}",
        "debits are credits, and the ledger's sales are the shop's orders",
        (
            *_problem("debits minus credits", [f"{sum(amounts) / 100:,.2f}"] if sum(amounts) else ()),
            *_problem(
                "sales in the ledger and in the shop",
                [f"{found.sales / 100:,.2f}", f"{turnover / 100:,.2f}"] if found.sales != turnover else (),
            ),
        ),
    )


def balances_drawn(told: Told, found: Findings) -> Claim:
    ticks = [tick for tick, _, _ in found.balances]
    return Claim(
        "Balances drawn",
        f"{len(ticks):,}",
        "by the schedule: some, each in balance, never two for one tick",
        (
            *_problem("fewer than two", [f"{len(ticks)}"] if len(ticks) < 2 else ()),
            *_problem("twice", (f"{tick:%H:%M:%S}" for tick in set(ticks) if ticks.count(tick) > 1)),
            *_problem(
                "out of balance",
                (f"{tick:%H:%M:%S}" for tick, debits, credits in found.balances if debits != credits),
            ),
        ),
    )


def jobs_logged(told: Told, found: Findings) -> Claim:
    expected = {
        ("send_receipt", "successful"): len(found.orders),
        ("post_entry", "successful"): len(found.orders) + len(found.transfers),
        ("draw_balance", "successful"): len(found.balances),
    }
    return Claim(
        "Attempts logged",
        f"{sum(found.log.values()):,}",
        ", ".join(f"{count} {status}" for status, count in _by_status(found).items()) + ": one for each job",
        _problem(
            "instead",
            (
                f"{found.log.get(key, 0)} {key[1]} {key[0]} where {expected.get(key, 0)} were expected"
                for key in expected.keys() | found.log.keys()
                if found.log.get(key, 0) != expected.get(key, 0)
            ),
        ),
    )


def jobs_left(told: Told, found: Findings) -> Claim:
    return Claim(
        "Jobs left",
        f"{found.jobs_left:,}",
        "none",
        _problem("left", [f"{found.jobs_left}"] if found.jobs_left else ()),
    )


def workers_stopped(told: Told, found: Findings) -> Claim:
    return Claim(
        "Workers stopped",
        f"{len(found.worker_statuses)}",
        "by SIGTERM, with status 0, and signed off",
        (
            *_problem(
                "status", (f"{status} of {name}" for name, status in found.worker_statuses.items() if status)
            ),
            *_problem("still signed on", [f"{found.workers_left}"] if found.workers_left else ()),
        ),
    )


CLAIMS: tuple[Callable[[Told, Findings], Claim], ...] = (
    orders_placed,
    orders_rolled_back,
    receipts_sent,
    transfers_accepted,
    transfers_rolled_back,
    entries_posted,
    books_balance,
    balances_drawn,
    jobs_logged,
    jobs_left,
    workers_stopped,
)


def _problem(what: str, names: Iterable[str]) -> tuple[str, ...]:
    """What is wrong, and with which; nothing if with none."""
    culprits = sorted(names)
    if not culprits:
        return ()
    more = f" and {len(culprits) - SHOWN:,} more" if len(culprits) > SHOWN else ""
    return (f"{what}: {', '.join(culprits[:SHOWN])}{more}",)


def _by_status(found: Findings) -> dict[str, int]:
    statuses: dict[str, int] = {}
    for (_, status), count in sorted(found.log.items()):
        statuses[status] = statuses.get(status, 0) + count
    return statuses
