"""The embedded model ``local``: llama.cpp in a thread of this process, with an agent's manners built around
it.

``weights`` finds and checks the file, ``runtime`` runs it, ``decode`` makes a small model choose well, and
``model`` is the pydantic-ai model that the rest of musterd sees. What the host decides here and what the
model decides is told in ``docs/howto/local-model.md``.
"""
