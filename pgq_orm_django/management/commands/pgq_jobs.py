"""The command `pgq_jobs`: lists what failed, runs jobs again, and cancels them."""

from argparse import ArgumentParser
from typing import Any

from pgq_orm import job_words
from pgq_orm.administration import LONGEST_PAGE
from pgq_orm.overview import tracebacks, what_failed
from pgq_orm_django.administration import cancel, list_failed_jobs
from pgq_orm_django.databases import default_alias
from pgq_orm_django.operators import OperatorCommand
from pgq_orm_django.statements import carry_out_whole


class Command(OperatorCommand):
    """`pgq_jobs failed --traceback`, `pgq_jobs requeue 7 8`, `pgq_jobs cancel 9`."""

    help = "Lists the jobs that failed, runs jobs again that have ended, and cancels jobs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="{failed,requeue,cancel}")
        failed = verbs.add_parser("failed", help="Lists the jobs that failed, the latest first.")
        failed.add_argument(
            "--limit", type=int, default=25, help="How many at the most. Default: %(default)s."
        )
        failed.add_argument("--after", type=int, metavar="LOG_ID", help="Go on below this one.")
        failed.add_argument(
            "--traceback", action="store_true", help="Print the tracebacks, too.", dest="traces"
        )
        failed.add_argument("--json", action="store_true", help="Print JSON instead of a table.")
        requeue = verbs.add_parser("requeue", help="Runs jobs again that have ended, each as a new job.")
        requeue.add_argument("--skip-refused", action="store_true", help="Leave out what cannot be.")
        canceling = verbs.add_parser("cancel", help="Ends what waits, asks what runs to stop.")
        for verb in (requeue, canceling):
            verb.add_argument("ids", nargs="+", type=int, metavar="ID")

    def answer(self, options: dict[str, Any], using: str | None) -> str:
        match options["verb"]:
            case "requeue":
                ids = options["ids"]
                steps = job_words.requeue(ids, skip_refused=options["skip_refused"])
                return job_words.describe_requeued(ids, carry_out_whole(steps, using or default_alias()))
            case "cancel":
                return job_words.describe_canceled(options["ids"], cancel(options["ids"], using=using))
        return self._failed(options, using)

    def _failed(self, options: dict[str, Any], using: str | None) -> str:
        limit = min(max(1, options["limit"]), LONGEST_PAGE)
        jobs = list_failed_jobs(limit, after=options["after"], using=using)
        sheet = what_failed(jobs)
        if options["json"]:
            return sheet.as_json()
        said = [sheet.as_text()]
        if options["traces"]:
            said.append(f"\n{tracebacks(jobs)}")
        if len(jobs) == limit:
            said.append(f"There may be more: --after {jobs[-1].log_id}")
        return "\n".join(said)
