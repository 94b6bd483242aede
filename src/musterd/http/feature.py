"""A feature: a folder of :mod:`musterd.features` that adds operations and the service behind them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from musterd.engine.resources import Resources

if TYPE_CHECKING:  # operations are bound to a server, which holds features
    from musterd.http.operation import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """What a feature adds to the server.

    :param service: the class of its service, constructed once with what attempts share.
    :param operations: its operations, in the order of the docs.
    """

    service: Callable[[Resources], Any]
    operations: "Sequence[Operation]"
