"""The demo's command line: `python -m example_project.demo`, or `make demo` and `make demo-serve`."""

import argparse
import sys
import time

from example_project.demo import interruption
from example_project.demo.claims import claims
from example_project.demo.failure import Failure
from example_project.demo.findings import look
from example_project.demo.performance import close, perform
from example_project.demo.show import Show
from example_project.demo.stage import set_up
from example_project.demo.summary import summary

EVERY_SECOND, EVERY_TEN_SECONDS = "* * * * * *", "* * * * * */10"
BROKEN, INTERRUPTED = 1, 130


def main() -> int:
    """Plays the demo. The exit status is 1 if anything that was promised does not hold."""
    options = _read_options()
    show = Show()
    interruption.listen()
    try:
        return _serve(show, options) if options.serve else _play(show, options)
    except Failure as failure:
        show.failed(failure)
        return BROKEN
    except KeyboardInterrupt:
        show.say("\nInterrupted. Nothing is left behind.")
        return INTERRUPTED


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m example_project.demo",
        description="A Django shop and a SQLAlchemy ledger on one queue: orders are placed and refused, receipts sent, "
        "the books kept; and then counted, whether anything is missing.",
    )
    parser.add_argument(
        "--orders", type=int, default=300, metavar="N", help="how many to place (%(default)s)"
    )
    parser.add_argument("--transfers", type=int, metavar="N", help="how many to ask for (half as many)")
    parser.add_argument(
        "--clients", type=int, default=8, metavar="N", help="customers at a time (%(default)s)"
    )
    parser.add_argument(
        "--serve", action="store_true", help="place no orders; leave sites and workers up until Ctrl-C"
    )
    options = parser.parse_args()
    if options.transfers is None:
        options.transfers = options.orders // 2
    if min(options.orders, options.transfers) < 0 or options.clients < 1:
        parser.error("there cannot be fewer than none")
    return options


def _play(show: Show, options: argparse.Namespace) -> int:
    show.title("A Django shop and a SQLAlchemy ledger on one queue")
    with set_up(show, balance_cron=EVERY_SECOND) as stage:
        show.say()
        told = perform(
            stage, show, orders=options.orders, transfers=options.transfers, clients=options.clients
        )
        worker_statuses = close(stage)
        found = look(stage.dsn, stage.mail_directory, worker_statuses)
    verdict = claims(told, found)
    show.say()
    show.say(summary(verdict, found))
    show.say()
    if broken := [claim.subject for claim in verdict if not claim.holds]:
        show.say(f"[bold red]Broken:[/] {', '.join(broken)}")
        return BROKEN
    show.done("Everything holds", "and nothing is left behind")
    return 0


def _serve(show: Show, options: argparse.Namespace) -> int:
    show.title("A Django shop and a SQLAlchemy ledger on one queue")
    with set_up(show, balance_cron=EVERY_TEN_SECONDS) as stage:
        name, password = stage.create_admin()
        show.say()
        show.addresses(
            {
                "Shop": stage.shop_url,
                "Orders": f"{stage.shop_url}/orders/",
                "Admin": f"{stage.shop_url}/admin/   ({name}, password {password})",
                "Ledger": stage.ledger_url,
                "E-mails": str(stage.mail_directory),
                "Database": stage.dsn,
            }
        )
        show.say("\nCtrl-C ends everything and clears it away.")
        try:
            while True:
                stage.programs.require_running()
                time.sleep(0.5)
        except KeyboardInterrupt:
            show.say("\nClearing away …")
    return 0


if __name__ == "__main__":
    sys.exit(main())
