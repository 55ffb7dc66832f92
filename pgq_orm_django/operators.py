"""Operators: what their commands have in common."""

from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connections

from pgq_orm.errors import PgqError


class OperatorCommand(BaseCommand):
    """Prints what `answer` gives; what goes wrong for a reason that the user can mend is told in one line."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--database",
            choices=tuple(connections),
            help="The database with the queue. Default: the one that routers and settings.PGQ name.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(self.answer(options, options["database"]))
        except (PgqError, DatabaseError) as error:
            raise CommandError(str(error)) from error

    def answer(self, options: dict[str, Any], using: str | None) -> str:
        """Does what is asked for; what there is to say of it."""
        raise NotImplementedError
