"""Streams: cost of a subscriber, latency of events, many subscribers. Each measurement returns its figures."""

from bench.measures import Measure
from bench.streams import crowd, feed, live, pace, rhythm, story

STREAMS: dict[str, Measure] = {
    "pace": pace.measure,
    "crowd": crowd.measure,
    "live": live.measure,
    "rhythm": rhythm.measure,
    "story": story.measure,
    "feed": feed.measure,
}
