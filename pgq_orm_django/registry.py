"""Registry: the handlers and schedules that the installed apps' `tasks` modules declare."""

from django.conf import settings
from django.utils.module_loading import autodiscover_modules, import_string

from pgq_orm.errors import UnknownEntrypointError
from pgq_orm.registry import Entrypoint, Registry

registry = Registry()
"""Every handler of this process. A `tasks` module adds to it by importing `entrypoint` and `schedule`."""

entrypoint = registry.entrypoint
schedule = registry.schedule
queue = registry.queue
allow_functions = registry.allow_functions


def discover() -> Registry:
    """Imports the `tasks` module of every installed app that has one; gives the registry, now complete.

    Done when a worker starts and when a name is first looked up, rather than in `AppConfig.ready()`: tasks import
    models and much else, which most processes never need. Repeating it costs next to nothing.
    """
    autodiscover_modules("tasks")
    for backend in getattr(settings, "TASKS", {}).values():
        import_string(backend["BACKEND"])  # ours brings the handler of the framework's tasks
    return registry


def require(name: str) -> Entrypoint:
    """The entrypoint of that name, looked for in all apps. Raises UnknownEntrypointError."""
    entrypoint = registry.entrypoints.get(name) or discover().entrypoints.get(name)
    if entrypoint is None:
        raise UnknownEntrypointError(
            name,
            registry.entrypoints,
            "put its handler into a tasks module of an installed app, or set PGQ['STRICT_ENTRYPOINTS'] to False if "
            "another program handles it",
        )
    return entrypoint
