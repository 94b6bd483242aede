"""Reads agents and teams that a file declares with Agno's own classes (docs/internals/agno.md).

Agno is never a dependency: it is used only if the file that is served has imported it.
"""

from musterd.agno.reader import AgnoReader
from musterd.agno.report import Report

__all__ = ["AgnoReader", "Report"]
