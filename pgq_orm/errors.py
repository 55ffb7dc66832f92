"""Errors: each says what was found, what was expected and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class PgqError(Exception):
    """Every error that pgq-orm raises on purpose."""


class InvalidJobError(PgqError, ValueError):
    """What was asked to be enqueued cannot be stored as a job. Nothing was sent to the database."""


class DuplicateJobError(PgqError):
    """A job with one of the `dedupe_keys` is still to be done. None of the call's jobs was enqueued.

    The caller's transaction is unharmed and may go on.
    """

    def __init__(self, dedupe_keys: list[str], remedy: str) -> None:
        self.dedupe_keys = dedupe_keys
        super().__init__(f"dedupe_key already in use: {', '.join(map(repr, dedupe_keys))}; {remedy}")


class UnknownEntrypointError(PgqError, LookupError):
    """No handler is registered under the name."""

    def __init__(self, entrypoint: str, registered: Iterable[str], remedy: str) -> None:
        self.entrypoint = entrypoint
        names = sorted(registered)
        close = get_close_matches(entrypoint, names, n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        known = ", ".join(map(repr, names)) or "none"
        super().__init__(f"no handler for entrypoint {entrypoint!r}: {guess}{remedy} (registered: {known})")


class RegistrationError(PgqError, ValueError):
    """An entrypoint or a schedule was declared in a way that cannot work."""


class SessionError(PgqError, TypeError):
    """What was given as a session or connection cannot carry a statement of the queue."""


class SchemaError(PgqError):
    """The database's pgq-orm tables are not the ones that this release works with."""


class SchemaVersionError(PgqError, ValueError):
    """A schema version was asked for that does not exist."""


class FactoryError(PgqError):
    """The worker's factory could not be found, or did not give a PgQueuer."""


class LeaseLost(PgqError):  # noqa: N818 - a fact about the job rather than a fault of the caller
    """The job was given to another worker; whatever this one still does for it must not be kept."""
