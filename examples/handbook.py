"""A handbook that answers: an agent that reads what a folder of PDF and Markdown files says, and names its sources.

    make serve EXAMPLE=handbook

    curl http://127.0.0.1:7777/agents/handbook/runs -F stream=false -F "message=How many days of holidays do I have?"

The model is the embedded one; MUSTERD_EXAMPLE_MODEL=openai:gpt-5-mini (or any other, or scripted) changes it. Put files
of your own into examples/handbook, and start it again.
"""

import os
from pathlib import Path

from musterd import Agent, Knowledge

MODEL = os.environ.get("MUSTERD_EXAMPLE_MODEL", "local")

documents = Knowledge(
    id="documents",
    name="Handbook",
    description="How Harbour Bikes works: holidays, expenses, safety in the workshop.",
    folder=Path(__file__).parent / "handbook",
    chunk_characters=500,
    max_results=3,  # few and short ones, because the embedded model reads 4,096 tokens
)

handbook = Agent(
    id="handbook",
    name="Handbook",
    role="Answers questions about the handbook",
    model=MODEL,
    knowledge=documents,
    # What a search has found is part of the message. With a model that calls tools well, leave both lines out: then it
    # searches by itself, in its own words and as often as it needs to.
    add_knowledge_to_context=True,
    search_knowledge=False,
    instructions="Answer from the references only, in a sentence or two. If they do not say it, say so.",
)
