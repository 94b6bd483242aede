"""A feature: a folder of :mod:`musterd.features` that adds operations and the service behind them."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from musterd.engine.memory_hook import MemoryHook
from musterd.engine.run_removal_hook import RunRemovalHook
from musterd.engine.upkeep import IsDue
from musterd.http.auth.issued_tokens import IssuedTokens
from musterd.loop.knowledge_bases import KnowledgeBases

if TYPE_CHECKING:  # operations are bound to a server, which holds features
    from musterd.http.operation import Operation
    from musterd.http.server import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """What a feature adds to the server.

    :param service: constructs its service, once, when the other parts of the server exist.
    :param operations: its operations, in the order of the docs.
    :param close: called with the service when the server stops, while the database is still open.
    :param tokens: if it issues tokens: gives those of its service, which authentication then accepts.
    :param knowledge_bases: if it keeps knowledge bases: gives those of its service, which runs then search.
    :param run_removal_hook: called when runs are removed.
    :param memory_hook: if it stores memories of users: how runs read and change them.
    :param start: called with the service before the process drives runs, in each process that does upkeep.
    :param upkeep: the duties of each process that does upkeep; each has a task of its own.
    """

    service: "Callable[[Server], Any]"
    operations: "Sequence[Operation]"
    close: Callable[[Any], Awaitable[None]] | None = None
    tokens: Callable[[Any], IssuedTokens] | None = None
    knowledge_bases: Callable[[Any], KnowledgeBases] | None = None
    run_removal_hook: RunRemovalHook | None = None
    memory_hook: MemoryHook | None = None
    start: Callable[[Any], Awaitable[None]] | None = None
    upkeep: "Sequence[FeatureDuty]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDuty:
    """A duty of upkeep; see :class:`musterd.engine.upkeep.Duty`.

    :param name: the name, which is the same in all processes.
    :param work: called with the service.
    :param is_due: None if the work is done in every period of upkeep.
    """

    name: str
    work: Callable[[Any], Coroutine[Any, Any, None]]
    is_due: IsDue | None = None
