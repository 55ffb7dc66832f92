"""The command `pgq_queues`: lists queues, pauses and resumes them."""

from argparse import ArgumentParser
from typing import Any

from pgq_orm.queue_words import describe_all, list_names, parse_resume_at
from pgq_orm_django import queues
from pgq_orm_django.operators import OperatorCommand


class Command(OperatorCommand):
    """`pgq_queues list`, `pgq_queues pause mail --until 2h`, `pgq_queues resume mail`."""

    help = "Lists the queues of which something is said, pauses queues, and resumes them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
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

    def answer(self, options: dict[str, Any], using: str | None) -> str:
        match options["verb"]:
            case "pause":
                resume_at = parse_resume_at(options["until"]) if options["until"] else None
                paused = queues.pause_queue(options["names"], resume_at=resume_at, using=using)
                return f"paused: {list_names(paused)}"
            case "resume":
                return f"resumed: {list_names(queues.resume_queue(options['names'], using=using))}"
        return describe_all(queues.fetch_queues(using=using))
