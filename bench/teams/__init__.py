"""Teams in every mode, runs that wait for a person, and agents that remember their user.

Each measurement returns its figures.
"""

from bench.measures import Measure
from bench.teams import memory, modes, people

TEAMS: dict[str, Measure] = {
    "modes": modes.measure,
    "people": people.measure,
    "memory": memory.measure,
}
