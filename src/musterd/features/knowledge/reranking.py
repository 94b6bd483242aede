"""Rerankers: functions of users that order the hits of a search anew. They may fail, or never return."""

import asyncio
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from musterd.core.daemon_threads import DaemonThreads
from musterd.core.error_logging import log_failure
from musterd.core.knowledge import Hit
from musterd.core.settings import Settings
from musterd.declare.knowledge import Knowledge
from musterd.loop.task_abandonment import is_cancelled, run_user_code
from musterd.loop.user_functions import awaited, call_in_thread

Reranker = Callable[..., Any]

THREADS = 32
"""Calls of plain functions at the same time. They have threads of their own, because one that never returns keeps its
thread."""


class Rerankers:
    """Calls the rerankers of a process, each for a limited time."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.knowledge_rerank_seconds
        self._threads = DaemonThreads(THREADS, "musterd-reranker")

    def close(self) -> None:
        """Make no more calls."""
        self._threads.shutdown()

    async def ordered(self, knowledge: Knowledge, query: str, hits: tuple[Hit, ...]) -> tuple[Hit, ...]:
        """The hits by the scores of the knowledge base's reranker, the best first.

        They stay as they are if there is no reranker, if it fails, or if it takes too long.
        """
        if knowledge.reranker is None or not hits:
            return hits
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                scores = await self._scores(knowledge, knowledge.reranker, query, hits)
        except (Exception, asyncio.CancelledError) as error:  # a user's function; the search has an answer without it
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            reason = f"no answer within {self._seconds:g} s" if limit.expired() else "an error"
            log_failure("reranker failed", error, knowledge=knowledge.id, reason=reason)
            return hits
        scored = [replace(hit, rerank_score=score) for hit, score in zip(hits, scores, strict=True)]
        return tuple(sorted(scored, key=lambda hit: -(hit.rerank_score or 0.0)))

    async def _scores(
        self, knowledge: Knowledge, reranker: Reranker, query: str, hits: tuple[Hit, ...]
    ) -> Sequence[float]:
        if inspect.iscoroutinefunction(reranker):
            returned = reranker(query, hits)
        else:
            returned = await call_in_thread(self._threads, partial(_call, reranker, query, hits))
        scores: Sequence[float] = (
            _scores(await run_user_code(awaited(returned), knowledge=knowledge.id), hits)
            if inspect.isawaitable(returned)
            else returned
        )
        return scores


def _call(reranker: Reranker, query: str, hits: Sequence[Hit]) -> Any:
    """The scores, or what is to be awaited for them. A generator is read here, because its code may block."""
    returned = reranker(query, hits)
    return returned if inspect.isawaitable(returned) else _scores(returned, hits)


def _scores(returned: Iterable[Any], hits: Sequence[Hit]) -> Sequence[float]:
    scores = [float(score) for score in islice(returned, len(hits) + 1)]
    if len(scores) != len(hits) or not all(map(math.isfinite, scores)):
        raise ValueError("it did not return a number for each hit")
    return scores
