"""An agent that remembers its user; its model calls add a line to a file that survives."""

from musterd import Agent
from tests.faults.components import CountingModel

solo = Agent(id="solo", model=CountingModel(), update_memory_on_run=True)
tutor = Agent(id="tutor", model=CountingModel(), learning=True)
asked = Agent(id="asked", model=CountingModel(), enable_agentic_memory=True)
