"""The command `pgq_queues`: lists queues, pauses and resumes them."""

from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connections

from pgq_orm.errors import PgqError
from pgq_orm.queue_words import describe_all, list_names, parse_resume_at
from pgq_orm_django import queues


class Command(BaseCommand):
    """`pgq_queues list`, `pgq_queues pause mail --until 2h`, `pgq_queues resume mail`."""

    help = "Lists the queues of which something is said, pauses queues, and resumes them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--database",
            choices=tuple(connections),
            help="The database with the queue. Default: the one that routers and settings.PGQ name.",
        )
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="{list,pause,resume}")
        verbs.add_parser("list", help="Lists the queues of which something is said.")
        pausing = verbs.add_parser("pause", help="Lets no more of their jobs be picked; what runs goes on.")
        resuming = verbs.add_parser("resume", help="Lets their jobs be picked again.")
        for verb in (pausing, resuming):
            verb.add_argument("names", nargs="+", metavar="NAME")
        pausing.add_argument(
            "--until",
            metavar="TIME",
            help="When the pause ends by itself: 30m, 2h, 1d, or 2026-01-31T08:00+01:00.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(self._done(options))
        except (PgqError, DatabaseError) as error:
            raise CommandError(str(error)) from error

    def _done(self, options: dict[str, Any]) -> str:
        using = options["database"]
        match options["verb"]:
            case "pause":
                resume_at = parse_resume_at(options["until"]) if options["until"] else None
                paused = queues.pause_queue(options["names"], resume_at=resume_at, using=using)
                return f"paused: {list_names(paused)}"
            case "resume":
                return f"resumed: {list_names(queues.resume_queue(options['names'], using=using))}"
        return describe_all(queues.fetch_queues(using=using))
