"""Workflows: jobs that depend on each other, put together as a value. No I/O in here.

`Queries(session).enqueue_workflow(flow)`, or `pgq_orm_django.enqueue_workflow(flow)`, adds all of it or nothing.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, NamedTuple, Protocol, TypeAlias, overload
from uuid import UUID

from pgq_orm import storable
from pgq_orm.errors import InvalidJobError, WorkflowError
from pgq_orm.operations.additions import DEFAULT_QUEUE
from pgq_orm.statuses import OnFailure
from pgq_orm.storable import ExecuteAfter, JsonObject

Parent: TypeAlias = "Member | str | int"
"""A job of the same workflow, the name of one, or the id of a job that is in the database."""
DependsOn: TypeAlias = "Parent | Iterable[Parent] | Mapping[Parent, OnFailure]"
"""One parent, several, or several with a policy each."""


@dataclass(frozen=True, slots=True)
class Call:
    """A job as a value: what `enqueue` would be told of it. Raises InvalidJobError for what cannot be stored."""

    entrypoint: str
    payload: bytes | None = None
    priority: int = 0
    execute_after: ExecuteAfter = None
    dedupe_key: str | None = None
    headers: JsonObject | None = None
    arguments: JsonObject | None = None
    queue: str = DEFAULT_QUEUE
    max_attempts: int | None = None
    concurrency_key: str | None = None
    name: str | None = field(default=None, kw_only=True)
    """What it is called in its workflow."""

    def __post_init__(self) -> None:
        for column in fields(self):
            storable.check(column.name, getattr(self, column.name))


call = Call


class TaskCall(Protocol):
    """A call of a typed task, as its `call()` makes it."""

    @property
    def entrypoint(self) -> str: ...

    @property
    def arguments(self) -> JsonObject: ...

    @property
    def options(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Chain:
    """Jobs one after the other. See `chain`."""

    parts: "tuple[Part, ...]"


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs side by side. See `group`."""

    parts: "tuple[Part, ...]"


Part: TypeAlias = str | Call | TaskCall | Chain | Group
"""What a workflow is made of; a string is the entrypoint of a job that is given nothing."""


def chain(*parts: Part | Iterable[Part]) -> Chain:
    """Parts of a workflow of which each waits for all ends of the one before."""
    return Chain(tuple(_flat(parts)))


def group(*parts: Part | Iterable[Part]) -> Group:
    """Parts of a workflow that do not wait for each other; what follows waits for all of them."""
    return Group(tuple(_flat(parts)))


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A job of a workflow that is being put together. Others may depend on it."""

    workflow: "Workflow" = field(repr=False)
    position: int
    call: Call = field(repr=False)
    name: str | None
    parents: Mapping[Parent, OnFailure] = field(repr=False)


class Edge(NamedTuple):
    """A parent of a job, by its position in the workflow, or by its id or name if it is not one of the workflow's."""

    position: int | None
    outsider: int | str | None
    on_failure: OnFailure


class Planned(NamedTuple):
    """A job in the order in which a workflow is enqueued: every one after its parents."""

    member: Member
    edges: list[Edge]


class Workflow:
    """Jobs that depend on each other. A value: it may be enqueued as often as one likes, each time as a new workflow.

    With the id of a workflow that exists, the jobs are added to that one. Their names must be new in it, and they may
    depend on its jobs by name.
    """

    def __init__(self, workflow_id: UUID | None = None) -> None:
        if workflow_id is not None and not isinstance(workflow_id, UUID):
            raise WorkflowError(
                f"a workflow's id must be a UUID, not {workflow_id!r}: take it from what enqueue_workflow answered, "
                "or from job.workflow_id"
            )
        self.id = workflow_id
        self._members: list[Member] = []
        self._by_name: dict[str, Member] = {}
        self._counts: dict[str, int] = {}

    @classmethod
    def of(cls, *parts: Part | Iterable[Part]) -> "Workflow":
        """A new workflow of these parts, side by side."""
        flow = cls()
        flow.add(group(*parts))
        return flow

    @overload
    def add(
        self,
        entrypoint: str | Call | TaskCall,
        payload: bytes | None = None,
        priority: int = 0,
        execute_after: ExecuteAfter = None,
        dedupe_key: str | None = None,
        headers: JsonObject | None = None,
        *,
        arguments: JsonObject | None = None,
        queue: str = DEFAULT_QUEUE,
        max_attempts: int | None = None,
        concurrency_key: str | None = None,
        name: str | None = None,
        depends_on: DependsOn = (),
        on_failure: OnFailure = "cancel",
    ) -> Member: ...

    @overload
    def add(
        self, entrypoint: Chain | Group, *, depends_on: DependsOn = (), on_failure: OnFailure = "cancel"
    ) -> tuple[Member, ...]: ...

    def add(
        self,
        entrypoint: Part,
        *arguments: Any,
        depends_on: DependsOn = (),
        on_failure: OnFailure = "cancel",
        **options: Any,
    ) -> Member | tuple[Member, ...]:
        """Adds a job with what `enqueue` would be told of it, or a Call; answers what others may depend on.

        A chain or a group may be added as well: its first jobs get the parents, its last ones are the answer, and
        `on_failure` is the policy of all its edges.

        `depends_on` names the jobs that must end before this one may run; `on_failure` says what becomes of it if one
        of them fails, or `depends_on` does for each: `{extract: "cancel", warm_up: "ignore"}`. A name may be used
        before the job that has it is added. Without a `name`, a job of a new workflow is called by its entrypoint, the
        second of a kind `entrypoint-2`.

        Raises InvalidJobError for what cannot be stored, WorkflowError for a name that is taken and a parent that
        cannot be one.
        """
        parents = _parents(depends_on, on_failure)
        if isinstance(entrypoint, str):
            return self._add(Call(entrypoint, *arguments, **options), parents)
        name = options.pop("name", None)
        if arguments or options:
            raise TypeError(
                f"{entrypoint!r} has its arguments in it: add() takes {options or arguments} for a name"
            )
        if isinstance(entrypoint, Chain | Group):
            if name is not None:
                raise TypeError(
                    f"a {type(entrypoint).__name__.lower()} has no name, its jobs may have one each"
                )
            return tuple(self._add_part(entrypoint, parents, on_failure))
        found = _call(entrypoint)
        return self._add(found if name is None else replace(found, name=name), parents)

    @property
    def members(self) -> Sequence[Member]:
        """Its jobs, in the order in which they were added."""
        return tuple(self._members)

    def plan(self) -> list[Planned]:
        """Its jobs, every one after its parents, and otherwise as they were added.

        Raises WorkflowError for jobs that wait for each other, and for names that nobody has.
        """
        edges = [self._edges(member) for member in self._members]
        children: list[list[int]] = [[] for _ in self._members]
        open_parents = [0] * len(self._members)
        for member, parents in zip(self._members, edges, strict=True):
            for edge in parents:
                if edge.position is not None:
                    children[edge.position].append(member.position)
                    open_parents[member.position] += 1
        ready = deque(position for position, count in enumerate(open_parents) if count == 0)
        planned: list[int] = []
        while ready:
            planned.append(position := ready.popleft())
            for child in children[position]:
                open_parents[child] -= 1
                if open_parents[child] == 0:
                    ready.append(child)
        if len(planned) < len(self._members):
            raise WorkflowError(
                f"jobs that wait for each other would never run: {self._cycle(edges, planned)}"
            )
        return [Planned(self._members[position], edges[position]) for position in planned]

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        names = ", ".join(str(member.name or member.call.entrypoint) for member in self._members[:10])
        return f"<Workflow of {len(self)} jobs: {names}{', …' if len(self) > 10 else ''}>"

    def _add(self, call: Call, parents: Mapping[Parent, OnFailure]) -> Member:
        for parent in parents:
            if isinstance(parent, Member) and parent.workflow is not self:
                raise WorkflowError(
                    f"{parent.name or parent.call.entrypoint!r} is a job of another workflow: within one, jobs are "
                    "named by what its add() answered; jobs in the database by their id"
                )
        member = Member(self, len(self._members), call, self._name(call), dict(parents))
        self._members.append(member)
        if member.name is not None:
            self._by_name[member.name] = member
        return member

    def _add_part(
        self, part: Part, parents: Mapping[Parent, OnFailure], on_failure: OnFailure
    ) -> list[Member]:
        """Adds a part; answers its ends."""
        match part:
            case Group(parts):
                return [end for each in parts for end in self._add_part(each, parents, on_failure)]
            case Chain(parts):
                ends: list[Member] = []
                for each in parts:
                    ends = self._add_part(each, parents, on_failure)
                    if ends:  # an empty group is passed over
                        parents = dict.fromkeys(ends, on_failure)
                return ends
            case _:
                return [self._add(_call(part), parents)]

    def _name(self, call: Call) -> str | None:
        if call.name is not None:
            if call.name in self._by_name:
                raise WorkflowError(f"two jobs of a workflow cannot both be called {call.name!r}")
            return call.name
        if self.id is not None:
            return None  # others may be adding jobs of this kind to the same workflow
        while True:
            number = self._counts[call.entrypoint] = self._counts.get(call.entrypoint, 0) + 1
            name = call.entrypoint if number == 1 else f"{call.entrypoint}-{number}"
            if name not in self._by_name:
                return name

    def _edges(self, member: Member) -> list[Edge]:
        found: dict[int | str | Member, Edge] = {}
        for parent, on_failure in member.parents.items():
            known = self._by_name.get(parent) if isinstance(parent, str) else parent
            match known:
                case Member(position=position):
                    found[known] = Edge(position, None, on_failure)
                case None if self.id is None:
                    raise WorkflowError(unknown_name(str(parent), self._by_name))
                case _:
                    found[parent] = Edge(None, parent, on_failure)  # type: ignore[arg-type] # no Member
        return list(found.values())

    def _cycle(self, edges: list[list[Edge]], planned: list[int]) -> str:
        """Names the jobs of one circle."""
        stuck = set(range(len(self._members))) - set(planned)
        way = [min(stuck)]
        while way[-1] not in way[:-1]:
            # every stuck job has a parent that is stuck
            way.append(next(edge.position for edge in edges[way[-1]] if edge.position in stuck))
        circle = way[way.index(way[-1]) :]
        return " waits for ".join(repr(self._members[position].name) for position in circle)


def unknown_name(name: str, known: Iterable[str]) -> str:
    """The sentence for a name that no job of the workflow has."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    guess = f": did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(map(repr, names[:20])) or "none"
    more = ", …" if len(names) > 20 else ""
    return f"no job of the workflow is called {name!r}{guess} (its jobs: {listed}{more})"


def _parents(depends_on: DependsOn, on_failure: OnFailure) -> dict[Parent, OnFailure]:
    match depends_on:
        case Mapping():
            parents = dict(depends_on)
        case str() | int() | Member():
            parents = {depends_on: on_failure}
        case bytes():
            raise WorkflowError(f"depends_on takes names as strings, not as bytes: {depends_on!r}")
        case Iterable():
            parents = dict.fromkeys(depends_on, on_failure)
        case _:
            parents = dict.fromkeys([depends_on], on_failure)
    for parent, policy in parents.items():
        if not isinstance(parent, Member | str | int) or isinstance(parent, bool):
            raise WorkflowError(
                f"depends_on takes what add() answered, names, and ids of jobs, not {parent!r}"
            )
        storable.check("on_failure", policy)
    storable.check("on_failure", on_failure)
    return parents


def _call(part: str | Call | TaskCall) -> Call:
    if isinstance(part, Call):
        return part
    if isinstance(part, str):
        return Call(part)
    if not _is_part(part):
        raise InvalidJobError(f"a workflow is made of entrypoints, calls, chains and groups, not of {part!r}")
    if getattr(part, "on_conflict", "raise") != "raise":
        raise WorkflowError(f"a job of a workflow cannot be left out or replace another: {part!r}")
    return Call(part.entrypoint, arguments=part.arguments, **part.options)


def _is_part(value: object) -> bool:
    if isinstance(value, str | Call | Chain | Group):
        return True
    return all(hasattr(value, name) for name in ("entrypoint", "arguments", "options"))


def _flat(parts: Iterable[Part | Iterable[Part]]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, Iterable) and not isinstance(part, str):
            yield from _flat(part)
        else:
            yield part  # if it is none, adding it says so
