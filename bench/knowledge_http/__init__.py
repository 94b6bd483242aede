"""Knowledge bases over HTTP, beside agno with pgvector. Both embed with the endpoint of ``bench/embeddings.py``."""

from bench.knowledge_http import beside_runs, searches
from bench.measures import Measure

KNOWLEDGE_HTTP: dict[str, Measure] = {
    "searches": searches.measure,
    "beside-runs": beside_runs.measure,
}
