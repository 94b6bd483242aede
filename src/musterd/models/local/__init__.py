"""The embedded model ``local``: llama.cpp in a thread of this process, with agent behaviour built around it.

``weights`` finds and checks the model file, ``runtime`` runs it, ``decode`` builds prompts that a small model answers
well, and ``model`` is the pydantic-ai model for the rest of musterd. ``docs/howto/local-model.md`` explains which
decisions our code makes and which the model makes.
"""
