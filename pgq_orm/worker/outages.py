"""Outages: the errors that say only that the database is away, which is no news twice and needs no traceback."""

from collections.abc import Iterator

from pgq_orm.errors import in_one_line

_CLASSES = ("08", "57P0")
"""How the SQLSTATEs begin of a connection that failed, and of a server that is stopping, starting or gone."""
_NAMES = frozenset(
    {
        "OperationalError",
        "InterfaceError",
        "ConnectionDoesNotExistError",
        "InternalClientError",  # asyncpg's, of a connection whose last word from the server it has not yet understood
    }
)
"""What drivers and ORMs call a lost connection, of which no server could say a SQLSTATE any more."""


def is_outage(error: BaseException) -> bool:
    """Whether the database was out of reach, as far as an error of any driver or ORM tells."""
    chain = list(_chain(error))
    for link in chain:
        state = getattr(link, "sqlstate", None)
        if isinstance(state, str):
            return state.startswith(_CLASSES)
    return any(isinstance(link, OSError) or type(link).__name__ in _NAMES for link in chain)


def in_short(error: BaseException) -> str:
    """The kind and the first line of an error; what ORMs add below, such as the statement, is left out."""
    return in_one_line(error).partition("\n")[0]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "orig", None) or error.__cause__
