"""Expressions for ``knowledge_filters``, with the names of ``agno.filters``."""

from musterd.core.knowledge_filters import AND, CONTAINS, EQ, GT, GTE, IN, LT, LTE, NEQ, NOT, OR, STARTSWITH

__all__ = ["AND", "CONTAINS", "EQ", "GT", "GTE", "IN", "LT", "LTE", "NEQ", "NOT", "OR", "STARTSWITH"]
