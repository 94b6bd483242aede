"""An agent that answers from the documents of a folder, and names its sources.

Serve it: musterd dev knowledge.py
"""

import os
from pathlib import Path

from musterd import Agent, Knowledge

# "scripted" is built in and needs no account: it repeats the message, here with the documents below it.
MODEL = os.environ.get("MODEL", "scripted")

documents = Knowledge(
    id="documents",
    name="Handbook",
    description="How Harbour Bikes works: holidays and expenses.",
    folder=Path(__file__).parent / "documents",  # read at each start; PDF with pip install 'musterd[knowledge]'
    search_type="keyword",  # by words. With pip install 'musterd[knowledge]' use "hybrid", by words and by meaning
    max_results=3,
)

handbook = Agent(
    id="handbook",
    name="Handbook",
    role="Answers questions about the handbook",
    model=MODEL,
    knowledge=documents,
    # The search is part of the message. Without these two lines a model searches by itself, as often as it needs to.
    add_knowledge_to_context=True,
    search_knowledge=False,
    instructions="Answer from the references only, in a sentence or two. If they do not say it, say so.",
)
