"""Models: from a model's name to its answer.

:mod:`musterd.models.resolve` turns a name into a pydantic-ai model, :mod:`musterd.models.call` makes the calls, and
:mod:`musterd.models.scripted` and :mod:`musterd.models.local` are the two built-in models. A provider's SDK is
imported when the first model of that provider is resolved.
"""
