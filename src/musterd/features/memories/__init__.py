"""Memories of users, as AgentOS's clients write, list and merge them."""

from musterd.features.memories.api import OPERATIONS
from musterd.features.memories.service import MemoryService
from musterd.http.feature import Feature

FEATURE = Feature(service=MemoryService, operations=OPERATIONS)
