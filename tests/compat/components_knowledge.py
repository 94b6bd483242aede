"""A knowledge base for AgentOS's clients, with the embedder that is built in."""

from musterd import Agent, Knowledge

handbook = Knowledge(id="handbook", name="Handbook", description="How things are done")
librarian = Agent(id="librarian", model="scripted")
