"""Verdicts: what a handler says about its job by raising it is passed on, not tried again."""

from pgq_orm.errors import LeaseLost
from pgq_orm.outcomes import HandlerVerdict


def is_verdict(error: BaseException) -> bool:
    """Whether it is a verdict, or a group of nothing else, such as a TaskGroup raises. So is that the lease is lost."""
    if isinstance(error, BaseExceptionGroup):
        _, others = error.split(HandlerVerdict)
        return others is None
    return isinstance(error, HandlerVerdict | LeaseLost)
