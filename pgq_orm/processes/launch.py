"""Launch: a program as this process, or as several under supervision, with what accompanies them."""

import os

from pgq_orm.processes.helm import Helm
from pgq_orm.processes.probe import Address, probed
from pgq_orm.processes.reloading import Reloading, Watch
from pgq_orm.processes.signals import heeding_signals
from pgq_orm.processes.supervisor import Supervisor
from pgq_orm.processes.worker import Program


def launch(
    program: Program,
    *,
    processes: int | None = None,
    probe: Address | None = None,
    watch: Watch | None = None,
) -> int:
    """Runs a program until it ends; answers the exit status.

    `processes` are spawned and supervised; None runs it in this very process. With a `watch` there is one, spawned
    afresh when the code changes. Raises what the program raises, ProcessesFailed, or ProbeError.
    """
    if watch is not None:
        program, processes = Reloading(program, watch), 1
    if processes is not None:
        supervisor = Supervisor(program, processes)
        with probed(probe, supervisor.health):
            return supervisor.run()
    helm = Helm()
    with heeding_signals(helm.end), probed(probe, lambda: [helm.health()]):
        program.run(helm)
    return os.EX_OK
