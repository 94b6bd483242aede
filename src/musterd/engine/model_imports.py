"""Imports the packages that the models of the served components need, before the first run is claimed.

An import takes seconds on a busy machine. If the process were killed during an import after the claim, every run that
it had claimed would be charged with a crash. The imports do not happen at the start, because a process that drives no
run does not need them.
"""

import asyncio
from collections.abc import Sequence

from musterd.core import clock
from musterd.declare import BaseComponent
from musterd.engine.process_role import component_key
from musterd.engine.resources import Resources
from musterd.store import probes


class ModelImports:
    """The model imports of one process.

    :param served: the components whose runs this process drives.
    """

    def __init__(self, resources: Resources, served: Sequence[BaseComponent]) -> None:
        self._resources = resources
        self._served = served
        self._keys = [component_key(component.kind, component.id) for component in served]
        self._is_done = False

    @property
    def are_done(self) -> bool:
        """Whether runs can be claimed without an import."""
        if not self._is_done:
            self._is_done = all(map(self._resources.models.is_loaded, self._served))
        return self._is_done

    async def if_needed(self, *, has_suspect: bool) -> bool:
        """Import if a run is ready.

        :param has_suspect: whether a suspect is known to be ready.
        :return: whether runs can be claimed.
        """
        now = clock.now()
        # The query leaves suspects out, so a ready suspect alone would never start the imports.
        if not has_suspect and not await self._resources.database.read(lambda tx: probes.is_ready(tx, self._keys, now)):
            return False
        # A failed import ends the runs of its own component with an error; the other components are driven.
        await asyncio.gather(*map(self._resources.models.load, self._served), return_exceptions=True)
        self._is_done = True
        return True
