"""Streams: what a reader costs, how soon it is told, and many of them: a measurement returns its figures."""

from bench.measures import Measure
from bench.streams import crowd, live, pace, rhythm, story

STREAMS: dict[str, Measure] = {
    "pace": pace.measure,
    "crowd": crowd.measure,
    "live": live.measure,
    "rhythm": rhythm.measure,
    "story": story.measure,
}
