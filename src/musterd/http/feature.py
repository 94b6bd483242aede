"""A feature: a folder of :mod:`musterd.features` that adds operations and the service behind them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from musterd.engine.resources import Resources
from musterd.engine.run_removal_hook import RunRemovalHook
from musterd.http.auth.issued_tokens import IssuedTokens

if TYPE_CHECKING:  # operations are bound to a server, which holds features
    from musterd.http.operation import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """What a feature adds to the server.

    :param service: constructs its service, once, with what attempts share.
    :param operations: its operations, in the order of the docs.
    :param close: called with the service when the server stops, while the database is still open.
    :param tokens: if it issues tokens: gives those of its service, which authentication then accepts.
    :param run_removal_hook: called when runs are removed.
    """

    service: Callable[[Resources], Any]
    operations: "Sequence[Operation]"
    close: Callable[[Any], Awaitable[None]] | None = None
    tokens: Callable[[Any], IssuedTokens] | None = None
    run_removal_hook: RunRemovalHook | None = None
