"""Operations: everything the queue asks of a database, one function each. The values they speak of are beside them."""

from pgq_orm.operations.additions import depend, enqueue, find_jobs, withdraw
from pgq_orm.operations.deferrals import hasten, promote
from pgq_orm.operations.endings import cancel, finish, read_ending, read_held, release, retry
from pgq_orm.operations.jobs import list_jobs
from pgq_orm.operations.limited_picks import pick_limited
from pgq_orm.operations.operation import Operation, Row
from pgq_orm.operations.picks import find_ready_queues, has_ready, pick
from pgq_orm.operations.schedules import clean_schedules, fire, read_schedules, register_schedules
from pgq_orm.operations.upkeep import has_version, prune, read_clock, read_version
from pgq_orm.operations.workers import beat, register_worker, rescue, unregister_worker

__all__ = [
    "Operation",
    "Row",
    "beat",
    "cancel",
    "clean_schedules",
    "depend",
    "enqueue",
    "find_jobs",
    "find_ready_queues",
    "finish",
    "fire",
    "has_ready",
    "has_version",
    "hasten",
    "list_jobs",
    "pick",
    "pick_limited",
    "promote",
    "prune",
    "read_clock",
    "read_ending",
    "read_held",
    "read_schedules",
    "read_version",
    "register_schedules",
    "register_worker",
    "release",
    "rescue",
    "retry",
    "unregister_worker",
    "withdraw",
]
