"""Lookup: the function that a job names, found without blocking the worker's loop."""

from concurrent import futures

from pgq_orm.errors import FunctionNotAllowedError
from pgq_orm.executors.threads import call_in_thread
from pgq_orm.functions import AllowedModules, Function
from pgq_orm.outcomes import Fail


async def look_up(func: str, modules: AllowedModules, threads: futures.Executor) -> Function:
    """The function. Raises Fail if it is not allowed: trying again would not help."""
    require(func, modules)
    try:
        return await call_in_thread(
            threads, lambda: modules.find(func)
        )  # which may have to import its module
    except FunctionNotAllowedError as error:
        raise Fail(error) from error


def require(func: str, modules: AllowedModules) -> None:
    """Refuses what is not in these modules. Raises Fail."""
    try:
        modules.require(func)
    except FunctionNotAllowedError as error:
        raise Fail(error) from error
