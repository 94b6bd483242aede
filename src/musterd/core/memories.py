"""Memories: what is remembered of a user from one session to the next."""

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Memory:
    """One thing that is remembered of a user. Field by field a row of ``memories``.

    :param owner: the user that a token proved, else None. Isolation goes by this.
    :param user_id: whom it is about.
    :param agent_id: the agent that noted it, if one did.
    :param team_id: the team that noted it, if one did.
    """

    memory_id: str
    owner: str | None
    user_id: str
    memory: str
    created_at: float
    updated_at: float
    topics: list[str] = field(default_factory=list)
    agent_id: str | None = None
    team_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFilter:
    """Which memories to list, and how. None: no such condition.

    :param topics: only memories that have each of them, in capitals or not.
    :param search_content: only memories in whose text this stands, in capitals or not.
    """

    user_id: str | None = None
    agent_id: str | None = None
    team_id: str | None = None
    topics: tuple[str, ...] = ()
    search_content: str | None = None
    sort_by: str = "updated_at"
    is_descending: bool = True
    limit: int = 20
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStats:
    """How much is remembered of one user."""

    user_id: str
    total_memories: int
    last_updated_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimized:
    """What became of a user's memories.

    :param before: as they were.
    :param after: what takes their place, whether it was stored or not.
    """

    before: list[Memory]
    after: list[Memory]
