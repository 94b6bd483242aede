"""musterd's application: an agent that remembers its user, and one that does not. See bench/peer/remembering.py."""

from musterd import Agent

MODEL = "openai-chat:fake-model"

plain = Agent(id="plain", name="Plain", model=MODEL)
remembering = Agent(id="remembering", name="Remembering", model=MODEL, update_memory_on_run=True)
