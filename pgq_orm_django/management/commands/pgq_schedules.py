"""The command `pgq_schedules`: lists schedules, pauses, resumes, runs and removes them."""

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from pgq_orm.job_words import describe_run
from pgq_orm.overview import what_recurs
from pgq_orm_django import administration
from pgq_orm_django.operators import OperatorCommand

VERBS = {
    "pause": "Lets schedules rest until they are resumed.",
    "resume": "Lets schedules fire again, within a minute.",
    "run": "Enqueues the jobs of schedules beside their ticks.",
    "remove": "Removes schedules; a worker that declares one adds it again.",
}


class Command(OperatorCommand):
    """`pgq_schedules list`, `pgq_schedules pause close_books`, `pgq_schedules run 7`."""

    help = (
        "Lists the schedules; before that, pauses, resumes, runs or removes some by their ids or entrypoints."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        verbs = parser.add_subparsers(dest="verb", required=True, metavar=f"{{list,{','.join(VERBS)}}}")
        listing = verbs.add_parser("list", help="Lists the schedules.")
        listing.add_argument("--json", action="store_true", help="Print JSON instead of a table.")
        for name, explanation in VERBS.items():
            verbs.add_parser(name, help=explanation).add_argument("names", nargs="+", metavar="NAME")

    def answer(self, options: dict[str, Any], using: str | None) -> str:
        said = self._told(options["verb"], options.get("names", ()), using)
        known = what_recurs(administration.fetch_schedules(using=using))
        if options.get("json"):
            return known.as_json()
        return "\n".join([*said, known.as_text()])

    def _told(self, verb: str, names: Iterable[str], using: str | None) -> list[str]:
        schedules = [int(name) if name.isdecimal() else name for name in names]
        match verb:
            case "pause":
                administration.pause_schedule(schedules, using=using)
            case "resume":
                administration.resume_schedule(schedules, using=using)
            case "remove":
                administration.delete_schedule(schedules, using=using)
            case "run":
                return [describe_run(administration.run_schedule_now(schedules, using=using))]
        return []
