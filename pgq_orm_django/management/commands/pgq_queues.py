"""The command `pgq_queues`: lists queues, pauses and resumes them, and changes their limits."""

from argparse import ArgumentParser
from typing import Any

from pgq_orm.overview import what_is_said
from pgq_orm.queue_words import (
    NO_LIMIT,
    SHORTEST_WINDOW,
    change_limits,
    list_names,
    parse_resume_at,
    pause,
    remove,
)
from pgq_orm_django import queues
from pgq_orm_django.bounds import bounded
from pgq_orm_django.databases import default_alias
from pgq_orm_django.operators import OperatorCommand
from pgq_orm_django.statements import carry_out_whole


class Command(OperatorCommand):
    """`pgq_queues list`, `pgq_queues pause mail --until 2h`, `pgq_queues limit mail --concurrency 2`."""

    help = "Lists the queues of which something is said, pauses, resumes, limits and removes queues."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="{list,pause,resume,limit,remove}")
        listing = verbs.add_parser("list", help="Lists the queues of which something is said.")
        listing.add_argument("--json", action="store_true", help="Print JSON instead of a table.")
        pausing = verbs.add_parser("pause", help="Lets no more of their jobs be picked; what runs goes on.")
        resuming = verbs.add_parser("resume", help="Lets their jobs be picked again.")
        limiting = verbs.add_parser(
            "limit",
            help="Changes the limits that are given; a queue of which nothing is said is declared first.",
        )
        removing = verbs.add_parser(
            "remove",
            help="Forgets what is said of queues, pauses too; refused while one holds jobs.",
        )
        for verb in (pausing, resuming, limiting, removing):
            verb.add_argument("names", nargs="+", metavar="NAME")
        pausing.add_argument(
            "--until",
            metavar="TIME",
            help="When the pause ends by itself: 30m, 2h, 1d, or 2026-01-31T08:00+01:00.",
        )
        limit = bounded(int, at_least=NO_LIMIT)
        limiting.add_argument(
            "--concurrency",
            type=limit,
            metavar="N",
            help="Jobs at a time in each worker process; 0 takes the limit away.",
        )
        limiting.add_argument(
            "--rate",
            type=limit,
            metavar="N",
            help="Jobs that may start within the window; 0 takes the limit away.",
        )
        limiting.add_argument(
            "--window",
            type=bounded(float, at_least=SHORTEST_WINDOW),
            metavar="SECONDS",
            help="The window, in seconds.",
        )

    def answer(self, options: dict[str, Any], using: str | None) -> str:
        match options["verb"]:
            case "pause":
                resume_at = parse_resume_at(options["until"]) if options["until"] else None
                return carry_out_whole(pause(options["names"], resume_at), using or default_alias())
            case "resume":
                return f"resumed: {list_names(queues.resume_queue(options['names'], using=using))}"
            case "remove":
                return carry_out_whole(remove(options["names"]), using or default_alias())
            case "limit":
                limits = {name: options[name] for name in ("concurrency", "rate", "window")}
                steps = change_limits(options["names"], **limits)
                return carry_out_whole(steps, using or default_alias())
        said = what_is_said(queues.fetch_queues(using=using))
        return said.as_json() if options.get("json") else said.as_text()
