"""Stage: PostgreSQL, both applications and both workers, started for real and cleared away afterwards."""

import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from example_project.demo.databases import new_database, new_server
from example_project.demo.failure import Failure
from example_project.demo.interruption import held
from example_project.demo.programs import START_SECONDS, Program, Programs
from example_project.demo.show import Show

MANAGE = "example_project/manage.py"
LEDGER_WORKER = "example_project.ledger.worker:create_pgqueuer"
ALEMBIC = ("-m", "alembic", "-c", "example_project/ledger/alembic.ini")
UVICORN = ("-m", "uvicorn", "--port=0", "--no-access-log", "--timeout-graceful-shutdown=3")
ADDRESS = r"running on (http://\S+)"


@dataclass(frozen=True, slots=True)
class Stage:
    """What there is once everything runs."""

    dsn: str
    mail_directory: Path
    programs: Programs
    shop: Program
    shop_url: str
    ledger: Program
    ledger_url: str
    workers: tuple[Program, ...]

    def create_admin(self) -> tuple[str, str]:
        """A superuser of the shop: name and password."""
        name, password = "admin", secrets.token_urlsafe(9)
        self.programs.run(
            "createsuperuser",
            *(MANAGE, "createsuperuser", "--noinput", f"--username={name}", "--email=admin@shop.example"),
            DJANGO_SUPERUSER_PASSWORD=password,
        )
        return name, password


@contextmanager
def set_up(show: Show, balance_cron: str) -> Iterator[Stage]:
    """Everything that the demo needs, for as long as the block lasts. Nothing of it is left afterwards."""
    stack = ExitStack()
    try:
        server_dsn, description = stack.enter_context(new_server())
        show.done("PostgreSQL", description)
        dsn = stack.enter_context(new_database(server_dsn))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgq-demo-")))
        mail_directory = directory / "mail"
        programs = Programs(directory, environment(dsn, mail_directory, balance_cron))
        stack.callback(programs.stop)
        migrate(programs)
        show.done("Migrations", "the ledger's and the queue's tables by Alembic, the shop's by Django")
        stage = _start(programs, dsn, mail_directory)
        show.done("Shop", stage.shop_url)
        show.done("Ledger", stage.ledger_url)
        show.done("Workers", "manage.py pgq_worker; pgq run example_project.ledger.worker:create_pgqueuer")
        yield stage
    finally:
        with held():
            stack.close()


def environment(dsn: str, mail_directory: Path, balance_cron: str) -> dict[str, str]:
    """What both applications are told of their place."""
    return {
        **os.environ,
        "PGQ_DSN": dsn,
        "DJANGO_SETTINGS_MODULE": "example_project.shop.settings",
        "SHOP_MAIL_DIRECTORY": str(mail_directory),
        "LEDGER_BALANCE_CRON": balance_cron,
        "PYTHONUNBUFFERED": "1",
    }


def migrate(programs: Programs) -> None:
    """Makes all tables. The queue's come with the ledger's history, so Django is told to take them as made: what
    `alembic stamp` would be for, had the shop brought them.
    """
    programs.run("alembic upgrade", *ALEMBIC, "upgrade", "head")
    programs.run("migrate --fake", MANAGE, "migrate", "--fake", "pgq_orm_django")
    programs.run("migrate", MANAGE, "migrate")


def _start(programs: Programs, dsn: str, mail_directory: Path) -> Stage:
    shop = programs.start("shop", *UVICORN, "example_project.shop.asgi:application")
    ledger = programs.start("ledger", *UVICORN, "--factory", "example_project.ledger.app:create_app")
    workers = (
        # every thread has a connection of its own
        programs.start("pgq_worker", MANAGE, "pgq_worker", "--concurrency=10"),
        # as many as the engine's pool has
        programs.start("pgq run", "-m", "pgq_orm", "run", LEDGER_WORKER, "--concurrency=15"),
    )
    stage = Stage(
        dsn=dsn,
        mail_directory=mail_directory,
        programs=programs,
        shop=shop,
        shop_url=shop.wait_for(ADDRESS),
        ledger=ledger,
        ledger_url=ledger.wait_for(ADDRESS),
        workers=workers,
    )
    _wait_for_workers(stage)
    return stage


def _wait_for_workers(stage: Stage) -> None:
    deadline = time.monotonic() + START_SECONDS
    with psycopg.connect(stage.dsn, autocommit=True) as connection:
        while True:
            (count,) = connection.execute("SELECT count(*) FROM pgq_worker").fetchone() or (0,)
            if count == len(stage.workers):
                return
            stage.programs.require_running()
            if time.monotonic() > deadline:
                raise Failure(f"{count} of {len(stage.workers)} workers got ready in {START_SECONDS:.0f} s")
            time.sleep(0.02)
