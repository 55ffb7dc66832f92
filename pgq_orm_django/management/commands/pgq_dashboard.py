"""The command `pgq_dashboard`: shows what is to be done, what was done, and who works."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from pgq_orm.overview import overview
from pgq_orm.processes.signals import until_interrupted
from pgq_orm_django.bounds import bounded
from pgq_orm_django.databases import default_alias
from pgq_orm_django.operators import OperatorCommand
from pgq_orm_django.statements import carry_out


class Command(OperatorCommand):
    """`pgq_dashboard --interval 5 --last 60`."""

    help = "Shows what is to be done, what was done, and who works. Reads the whole backlog."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--interval",
            "-i",
            type=bounded(float, at_least=1.0),
            metavar="SECONDS",
            help="Look again every so many seconds, until Ctrl-C.",
        )
        parser.add_argument(
            "--last",
            type=bounded(int, at_least=1),
            default=5,
            metavar="MINUTES",
            help="How much of what was done. Default: %(default)s.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        if options["interval"] is None:
            return
        for _ in until_interrupted(options["interval"]):
            super().handle(*args, **options)

    def answer(self, options: dict[str, Any], using: str | None) -> str:
        sheets = carry_out(overview(timedelta(minutes=options["last"])), using or default_alias())
        return "\n\n".join(sheet.as_text() for sheet in sheets) + "\n"
