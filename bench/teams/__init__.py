"""Teams in every mode, and runs that wait for a person: a measurement takes the bench and returns its figures."""

from bench.measures import Measure
from bench.teams import modes, people

TEAMS: dict[str, Measure] = {
    "modes": modes.measure,
    "people": people.measure,
}
