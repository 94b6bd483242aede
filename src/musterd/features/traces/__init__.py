"""Traces: runs as trees of spans, as AgentOS's clients list, search and show them."""

from musterd.features.traces.api import OPERATIONS
from musterd.features.traces.service import TraceService
from musterd.http.feature import Feature

FEATURE = Feature(service=TraceService, operations=OPERATIONS)
