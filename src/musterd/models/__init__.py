"""Models: from a name to an answer.

:mod:`musterd.models.resolve` turns a name into a pydantic-ai model, :mod:`musterd.models.call` is the one
way a model is called, :mod:`musterd.models.scripted` and :mod:`musterd.models.local` are the two that are
built in. A provider's SDK is imported when the first model of that provider is resolved, never before.
"""
