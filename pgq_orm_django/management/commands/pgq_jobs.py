"""The command `pgq_jobs`: enqueues, lists what failed, runs jobs again, and cancels them."""

from argparse import ArgumentParser
from typing import Any, get_args

from pgq_orm import job_words
from pgq_orm.administration import LONGEST_PAGE
from pgq_orm.operations.additions import DEFAULT_QUEUE, OnConflict
from pgq_orm.overview import tracebacks, what_failed
from pgq_orm_django import conf
from pgq_orm_django.administration import list_failed_jobs
from pgq_orm_django.bounds import bounded, duration
from pgq_orm_django.databases import default_alias
from pgq_orm_django.operators import OperatorCommand
from pgq_orm_django.registry import require
from pgq_orm_django.statements import carry_out, carry_out_whole


class Command(OperatorCommand):
    """`pgq_jobs enqueue mail`, `pgq_jobs failed --traceback`, `pgq_jobs requeue 7 8`, `pgq_jobs cancel 9`."""

    help = "Enqueues a job, lists the jobs that failed, runs jobs again that have ended, and cancels jobs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="{enqueue,failed,requeue,cancel}")
        self._add_enqueueing(verbs.add_parser("enqueue", help="Enqueues a job."))
        failed = verbs.add_parser(
            "failed", help="Lists the jobs that failed and were not run again, the latest first."
        )
        failed.add_argument(
            "--limit",
            "-n",
            type=bounded(int, at_least=1, at_most=LONGEST_PAGE),
            default=25,
            metavar="N",
            help="How many at the most. Default: %(default)s.",
        )
        failed.add_argument("--after", type=int, metavar="LOG_ID", help="Go on below this one.")
        failed.add_argument(
            "--traceback", action="store_true", help="Print the tracebacks, too.", dest="traces"
        )
        failed.add_argument("--json", action="store_true", help="Print JSON instead of a table.")
        requeue = verbs.add_parser("requeue", help="Runs jobs again that have ended, each as a new job.")
        requeue.add_argument("--skip-refused", action="store_true", help="Leave out what cannot be.")
        requeue.add_argument(
            "--force",
            action="store_true",
            help="Run those again, too, that have been run again and have ended.",
        )
        canceling = verbs.add_parser("cancel", help="Ends what waits, asks what runs to stop.")
        for verb in (requeue, canceling):
            verb.add_argument("ids", nargs="+", type=int, metavar="ID")

    def _add_enqueueing(self, parser: ArgumentParser) -> None:
        parser.add_argument("entrypoint", help="The entrypoint that is to run.")
        parser.add_argument(
            "payload", nargs="?", help="The payload, as text; - reads it from standard input."
        )
        parser.add_argument("--arguments", metavar="JSON", help="JSON arguments instead of a payload.")
        parser.add_argument("--queue", default=DEFAULT_QUEUE, help="The queue. Default: %(default)s.")
        parser.add_argument(
            "--priority", type=int, default=0, help="A higher one is picked first. Default: %(default)s."
        )
        parser.add_argument(
            "--delay", type=duration, metavar="DURATION", help="How long before it may run: 90, 90s, 15m, 8h."
        )
        parser.add_argument(
            "--dedupe-key", metavar="KEY", help="At most one job with this key is to be done."
        )
        parser.add_argument(
            "--on-conflict",
            choices=get_args(OnConflict),
            default="raise",
            help="Whether such a job is an error, or this one is left out, or takes its place.",
        )

    def answer(self, options: dict[str, Any], using: str | None) -> str:
        match options["verb"]:
            case "enqueue":
                return self._enqueue(options, using)
            case "requeue":
                ids = options["ids"]
                steps = job_words.requeue(ids, skip_refused=options["skip_refused"], force=options["force"])
                return job_words.describe_requeued(ids, carry_out_whole(steps, using or default_alias()))
            case "cancel":
                return carry_out_whole(job_words.cancel(options["ids"]), using or default_alias())
        return self._failed(options, using)

    def _enqueue(self, options: dict[str, Any], using: str | None) -> str:
        if conf.current().strict_entrypoints:
            require(options["entrypoint"])
        steps = job_words.enqueue(
            options["entrypoint"],
            options["payload"],
            arguments=options["arguments"],
            queue=options["queue"],
            priority=options["priority"],
            delay=options["delay"],
            dedupe_key=options["dedupe_key"],
            on_conflict=options["on_conflict"],
        )
        said = carry_out_whole(steps, using or default_alias())
        if hint := carry_out(job_words.hint_at(options["entrypoint"]), using or default_alias()):
            self.stderr.write(hint)
        return said

    def _failed(self, options: dict[str, Any], using: str | None) -> str:
        limit = options["limit"]
        jobs = list_failed_jobs(limit, after=options["after"], using=using)
        sheet = what_failed(jobs)
        if options["json"]:
            return sheet.as_json()
        if not jobs:
            return sheet.as_text()
        said = [sheet.as_text()]
        if options["traces"]:
            said.append(f"\n{tracebacks(jobs)}")
        if len(jobs) == limit:
            said.append(f"There may be more: --after {jobs[-1].log_id}")
        said.append(f"Run one again with: manage.py pgq_jobs requeue {jobs[0].id}")
        return "\n".join(said)
