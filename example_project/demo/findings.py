"""Findings: what is to be seen in the database and among the e-mails on disk, once everything is done.

Read with plain SQL, because it shall be the truth about both applications rather than the view of one.
"""

import re
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

ORDER_NUMBER = re.compile(r"KC-[2-9A-Z]{8}")
ORDER_NUMBER_OR_TRANSFER_ID = re.compile(
    rf"{ORDER_NUMBER.pattern}|[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}"
)
BETWEEN_MESSAGES = b"-" * 79 + b"\n"
"""What Django's file backend writes after each message; a file may hold several."""

RECEIPT_ROWS = "SELECT number FROM shop_receipt JOIN shop_order ON order_id = shop_order.id"
LOG = "SELECT entrypoint, status, count(*) FROM pgq_log GROUP BY entrypoint, status"
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"

# The rows of orders and transfers are never changed, so what is still on them is the transaction that made them,
# which is the one that enqueued. Without track_commit_timestamp the best that is known is when it began.
DELAYS: LiteralString = """
WITH enqueuing (dedupe_key, xmin, written) AS (
    SELECT 'receipt-' || number, shop_order.xmin, sent
    FROM shop_order
    JOIN shop_receipt ON order_id = shop_order.id
    UNION ALL
    SELECT 'entry-' || number, shop_order.xmin, posted
    FROM shop_order
    JOIN ledger_entry ON transfer_id = number AND amount > 0
    UNION ALL
    SELECT 'entry-' || transfer_id, ledger_transfer.xmin, posted
    FROM ledger_transfer
    JOIN ledger_entry USING (transfer_id)
    WHERE ledger_entry.amount > 0
), moments AS (
    SELECT
        entrypoint,
        CASE WHEN {has_commit_times} THEN pg_xact_commit_timestamp(enqueuing.xmin) ELSE enqueued END AS committed,
        started,
        written
    FROM pgq_log
    JOIN enqueuing USING (dedupe_key)
    WHERE attempt = 1
)
SELECT
    entrypoint,
    count(*),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY started - committed),
    percentile_cont(0.99) WITHIN GROUP (ORDER BY started - committed),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY written - committed),
    percentile_cont(0.99) WITHIN GROUP (ORDER BY written - committed)
FROM moments
GROUP BY entrypoint
ORDER BY entrypoint
"""


@dataclass(frozen=True, slots=True)
class Delays:
    """How long after the commit the jobs of an entrypoint started, and how long after it they first wrote."""

    entrypoint: str
    count: int
    start_p50: timedelta
    start_p99: timedelta
    write_p50: timedelta
    write_p99: timedelta


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found. Money is in cents."""

    orders: Mapping[str, int]
    """Totals by number."""
    receipts: Mapping[str, int]
    """How many e-mails there are for each order number."""
    receipt_rows: Set[str]
    transfers: Mapping[str, int]
    """Amounts by id."""
    entries: Mapping[str, list[int]]
    """Signed amounts by transfer id or order number."""
    sales: int
    """The balance of the account, as a positive number."""
    balances: list[tuple[datetime, int, int]]
    """Tick, debits, credits."""
    log: Mapping[tuple[str, str], int]
    """Rows by entrypoint and status."""
    jobs_left: int
    workers_left: int
    worker_statuses: Mapping[str, int | None]
    """How the worker processes ended, by name."""
    mentioned: Set[str]
    """Every order number and transfer id that any row of any table, or any e-mail, mentions."""
    delays: list[Delays]
    has_commit_times: bool
    """Whether `delays` count from the commit; else from the begin of the transaction."""


def look(dsn: str, mail_directory: Path, worker_statuses: Mapping[str, int | None]) -> Findings:
    """Reads everything that the claims are about."""
    messages = _messages(mail_directory)
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

        def rows(query: LiteralString) -> list[tuple[Any, ...]]:
            return connection.execute(query).fetchall()

        def number(query: LiteralString) -> int:
            ((value,),) = rows(query)
            return int(value)

        has_commit_times = rows("SHOW track_commit_timestamp") == [("on",)]
        return Findings(
            orders=dict(rows("SELECT number, CAST(total * 100 AS bigint) FROM shop_order")),
            receipts=Counter(_order_number(message) for message in messages),
            receipt_rows={name for (name,) in rows(RECEIPT_ROWS)},
            transfers=dict(rows("SELECT transfer_id, amount FROM ledger_transfer")),
            entries=dict(
                rows("SELECT transfer_id, array_agg(amount) FROM ledger_entry GROUP BY transfer_id")
            ),
            sales=number("SELECT -coalesce(sum(amount), 0) FROM ledger_entry WHERE account = 'sales'"),
            balances=[(*row,) for row in rows("SELECT tick, debits, credits FROM ledger_balance")],
            log={(entrypoint, status): count for entrypoint, status, count in rows(LOG)},
            jobs_left=number("SELECT count(*) FROM pgq_job"),
            workers_left=number("SELECT count(*) FROM pgq_worker"),
            worker_statuses=worker_statuses,
            mentioned=_mentioned(messages) | _mentioned(_all_rows(connection)),
            delays=[Delays(*row) for row in _delays(connection, has_commit_times)],
            has_commit_times=has_commit_times,
        )


def _messages(directory: Path) -> list[str]:
    """The text of each e-mail: subject and body."""
    found = []
    for file in sorted(directory.glob("*.log")):
        for raw in file.read_bytes().split(BETWEEN_MESSAGES):
            if raw.strip():
                message = message_from_bytes(raw, policy=policy.default)
                found.append(f"{message['Subject']}\n{message.get_content()}")
    return found


def _order_number(message: str) -> str:
    """The order that an e-mail is for. More than one, or none, makes a name that is no order's."""
    return " and ".join(sorted(set(ORDER_NUMBER.findall(message)))) or "no order"


def _all_rows(connection: psycopg.Connection) -> list[str]:
    tables = [name for (name,) in connection.execute(TABLES)]
    selects = [
        sql.SQL("SELECT CAST(one AS text) FROM {} AS one").format(sql.Identifier(name)) for name in tables
    ]
    return [row for (row,) in connection.execute(sql.SQL(" UNION ALL ").join(selects))]


def _delays(connection: psycopg.Connection, has_commit_times: bool) -> list[tuple[Any, ...]]:
    query = sql.SQL(DELAYS).format(has_commit_times=sql.Literal(has_commit_times))
    return connection.execute(query).fetchall()


def _mentioned(texts: list[str]) -> set[str]:
    return {name for text in texts for name in ORDER_NUMBER_OR_TRANSFER_ID.findall(text)}
