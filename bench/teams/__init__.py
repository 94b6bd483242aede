"""Teams in every mode, and runs that wait for a person. Each measurement returns its figures."""

from bench.measures import Measure
from bench.teams import modes, people

TEAMS: dict[str, Measure] = {
    "modes": modes.measure,
    "people": people.measure,
}
