"""Options of agents and teams: knowledge, memory and learning."""

from dataclasses import dataclass, field
from typing import Any

from musterd.declare.options import ANYTHING, FLAG, about


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class KnowledgeOptions:
    """Knowledge, memory and learning."""

    knowledge: Any = field(default=None, metadata=about(ANYTHING, "Documents to search.", later=True))
    knowledge_filters: Any = field(default=None, metadata=about(ANYTHING, later=True, part_of="knowledge"))
    knowledge_retriever: Any = field(default=None, metadata=about(ANYTHING, "A function that searches.", later=True))
    add_knowledge_to_context: bool = field(
        default=False, metadata=about(FLAG, "Found text goes into the prompt.", later=True)
    )
    search_knowledge: bool = field(default=True, metadata=about(FLAG, later=True, part_of="knowledge"))
    update_knowledge: bool = field(default=False, metadata=about(FLAG, "A tool that adds documents.", later=True))
    enable_agentic_knowledge_filters: bool = field(default=False, metadata=about(FLAG, later=True, part_of="knowledge"))
    memory_manager: Any = field(default=None, metadata=about(ANYTHING, "How users are remembered.", later=True))
    update_memory_on_run: bool = field(
        default=False, metadata=about(FLAG, "Remember users after each run.", later=True)
    )
    enable_user_memories: bool = field(
        default=False, metadata=about(FLAG, "The older name of `update_memory_on_run`.", later=True)
    )
    enable_agentic_memory: bool = field(
        default=False, metadata=about(FLAG, "A tool that changes memories.", later=True)
    )
    add_memories_to_context: bool = field(
        default=False, metadata=about(FLAG, "Show memories to the model.", later=True)
    )
    learning: Any = field(default=None, metadata=about(ANYTHING, "Learn from runs.", later=True, yaml=bool))
