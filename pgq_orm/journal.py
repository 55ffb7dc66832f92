"""Journal: what a worker says in the log, which must not stop it whatever the application makes of logging."""

import logging
import sys
import traceback
from contextlib import suppress


def tell(logger: logging.Logger, level: int, message: str, *args: object, **fields: object) -> None:
    """Logs, with fields for the record, and `exc_info` among them as everywhere. Never raises.

    A record may have one of the fields already, of the application's own factory of records, which logging refuses: it
    keeps that one. What cannot be logged at all, because a filter raises, is printed, as what its handlers raise.
    """
    error = fields.pop("exc_info", None)
    exc_info = sys.exc_info() if error is True else error
    for extra in (fields, None):
        try:
            logger.log(level, message, *args, exc_info=exc_info, extra=extra, stacklevel=2)  # type: ignore[arg-type]
            return
        except Exception:
            mishap = traceback.format_exc()
    if logging.raiseExceptions:
        with suppress(Exception):
            sys.stderr.write(f"--- Logging error ---\n{mishap}Message: {message!r}\nArguments: {args!r}\n")
