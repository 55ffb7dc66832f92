"""The command `pgq_workers`: lists the worker processes that live."""

from argparse import ArgumentParser
from typing import Any

from pgq_orm.overview import who_works
from pgq_orm_django.administration import active_workers
from pgq_orm_django.operators import OperatorCommand


class Command(OperatorCommand):
    """`pgq_workers --json`."""

    help = "Lists the worker processes that live. (The command that is one is pgq_worker.)"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="Print JSON instead of a table.")

    def answer(self, options: dict[str, Any], using: str | None) -> str:
        sheet = who_works(active_workers(using=using))
        return sheet.as_json() if options["json"] else sheet.as_text()
