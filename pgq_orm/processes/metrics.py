"""Metrics: what processes tell of themselves, in the text format that Prometheus reads."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from pgq_orm.processes.health import Health
from pgq_orm.worker.vitals import BOUNDS, Tallied

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(processes: Sequence[Health]) -> str:
    """All metrics of all processes. Counters begin at zero with each process."""
    return "".join(f"{line}\n" for line in _lines(processes))


def _lines(processes: Sequence[Health]) -> Iterator[str]:
    yield from _gauge(
        "pgq_alive",
        "Whether the process need not be killed.",
        ((health, float(health.is_alive)) for health in processes),
    )
    yield from _gauge(
        "pgq_ready",
        "Whether the process takes jobs.",
        ((health, float(health.is_ready)) for health in processes),
    )
    yield from _gauge(
        "pgq_blocked_seconds",
        "How long the event loop has stood still.",
        ((health, health.blocked_seconds) for health in processes),
    )
    living = [(health, health.vitals) for health in processes if health.vitals is not None]
    yield from _gauge(
        "pgq_running", "Attempts that run.", ((health, vitals.running) for health, vitals in living)
    )
    yield from _gauge(
        "pgq_slots", "Attempts that may run at a time.", ((health, vitals.slots) for health, vitals in living)
    )
    yield from _gauge(
        "pgq_heartbeat_age_seconds",
        "Since the database answered a heartbeat.",
        ((health, vitals.heartbeat_age) for health, vitals in living if vitals.heartbeat_age is not None),
    )
    yield from _head("pgq_picked_total", "counter", "Jobs picked.")
    yield from (f"pgq_picked_total{_labels(health)} {vitals.picked}" for health, vitals in living)
    yield from _head("pgq_attempt_seconds", "histogram", "How long attempts took, by what they came to.")
    for health, vitals in living:
        for tallied in vitals.attempts:
            yield from _histogram(health, tallied)


def _gauge(name: str, text: str, values: Iterable[tuple[Health, float]]) -> Iterator[str]:
    yield from _head(name, "gauge", text)
    yield from (f"{name}{_labels(health)} {value:g}" for health, value in values)


def _histogram(health: Health, tallied: Tallied) -> Iterator[str]:
    labels = {"entrypoint": tallied.entrypoint, "outcome": tallied.outcome}
    bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    for bound, attempts in zip(bounds, accumulate(tallied.intervals), strict=True):
        yield f"pgq_attempt_seconds_bucket{_labels(health, **labels, le=bound)} {attempts}"
    yield f"pgq_attempt_seconds_sum{_labels(health, **labels)} {tallied.seconds:g}"
    yield f"pgq_attempt_seconds_count{_labels(health, **labels)} {tallied.attempts}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _labels(health: Health, **others: str) -> str:
    labels = {"process": health.name, **others}
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
