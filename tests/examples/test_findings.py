"""What the demo finds: rows of every table, and e-mails in files."""

from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import psycopg
import pytest

from example_project.demo.findings import BETWEEN_MESSAGES, look
from example_project.demo.programs import Programs
from example_project.demo.stage import environment, migrate
from tests.databases import database_name, fresh_database

PLACED, DECLINED = "KC-PLACED22", "KC-DECNED22"


@pytest.fixture(scope="module")
def migrated_dsn(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database that both applications have migrated, to be copied and never to be written to."""
    directory = tmp_path_factory.mktemp("logs")
    with fresh_database(server_dsn) as dsn:
        migrate(Programs(directory, environment(dsn, directory, "* * * * *")))
        yield dsn


@pytest.fixture
def dsn(server_dsn: str, migrated_dsn: str) -> Iterator[str]:
    with fresh_database(server_dsn, template=database_name(migrated_dsn)) as dsn:
        yield dsn


@pytest.fixture
def mail_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "mail"
    directory.mkdir()
    return directory


def a_receipt(*numbers: str) -> bytes:
    message = EmailMessage()
    message["Subject"] = f"Your receipt for {', '.join(numbers)}"
    message.set_content("Paid: € 9.80\n")
    return message.as_bytes() + b"\n" + BETWEEN_MESSAGES


def test_nothing_is_found_where_nothing_happened(dsn: str, mail_directory: Path) -> None:
    found = look(dsn, mail_directory, {})
    assert (found.orders, found.receipts, found.transfers, found.entries) == ({}, {}, {}, {})
    assert (found.jobs_left, found.workers_left, found.mentioned, found.delays) == (0, 0, set(), [])


def test_each_message_of_a_file_is_counted(dsn: str, mail_directory: Path) -> None:
    (mail_directory / "one.log").write_bytes(
        a_receipt(PLACED) + a_receipt(PLACED) + a_receipt(PLACED, DECLINED)
    )
    (mail_directory / "two.log").write_bytes(a_receipt())
    found = look(dsn, mail_directory, {})
    assert found.receipts == {PLACED: 2, f"{DECLINED} and {PLACED}": 1, "no order": 1}
    assert found.mentioned == {PLACED, DECLINED}


@pytest.mark.parametrize(
    "insert",
    [
        "INSERT INTO pgq_job (entrypoint, arguments) VALUES ('send_receipt', '{\"order\": \"%s\"}')",
        "INSERT INTO pgq_job (entrypoint, dedupe_key) VALUES ('send_receipt', 'receipt-%s')",
        "INSERT INTO ledger_entry (transfer_id, account, amount, memo) VALUES ('%s', 'sales', 1, '')",
    ],
)
def test_a_declined_order_is_found_in_whatever_table(dsn: str, mail_directory: Path, insert: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute((insert % DECLINED).encode())
    assert look(dsn, mail_directory, {}).mentioned == {DECLINED}
