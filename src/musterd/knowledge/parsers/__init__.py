"""Parsers, one module a kind of document. They run in :mod:`musterd.knowledge.reading_child` only."""
