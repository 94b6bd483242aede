"""The shares of the processes in the schedules that are due. Pure."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

OTHERS_SECONDS = 2.0
"""After how long a process also fires schedules that are another one's share: longer than their process needs for a
thousand, because doing the same twice would make all of them later."""


@dataclass(frozen=True, slots=True)
class Due:
    """A schedule or a firing that is due.

    :param component: what it runs, in the form that workers announce; empty: nothing.
    """

    id: str
    component: str
    due_at: float


def share_of(
    worker: str, workers: Mapping[str, Collection[str]], served: Collection[str], due: Sequence[Due], now: float
) -> list[str]:
    """The ids of a worker's share of what is due, and of what others have left.

    The shares only keep processes from trying the same; the transactions would let one of them succeed.

    :param workers: the components that each worker serves. What none of them serves is everybody's share.
    :param served: the components of this process. What others serve is left to them, however late they are.
    """

    def is_own(one: Due) -> bool:
        serving = [other for other, served in workers.items() if not one.component or one.component in served]
        return not serving or serving[_number(one.id) % len(serving)] == worker

    def is_left(one: Due) -> bool:
        return one.due_at <= now - OTHERS_SECONDS and (not one.component or one.component in served)

    return [one.id for one in due if is_own(one) or is_left(one)]


def _number(text: str) -> int:
    """A number that is the same in every process."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)
