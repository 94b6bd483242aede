"""Memories: facts about a user that last from one session to the next."""

from dataclasses import dataclass, field

from musterd.core.user_memories import memory_key


@dataclass(slots=True, kw_only=True)
class Memory:
    """One memory. Its fields are the columns of ``memories``.

    :param owner: the user that a token proved, else None. Isolation goes by this.
    :param user_id: the user it is about.
    :param agent_id: the agent that wrote it, if one did.
    :param team_id: the team that wrote it, if one did.
    :param input: the message that it comes from, if a run wrote it.
    :param source_run_id: the run that wrote it, if one did.
    :param profile_field: the field of the user's profile that it is, if it is one.
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
    input: str | None = None
    source_run_id: str | None = None
    profile_field: str | None = None

    @property
    def key(self) -> str:
        """What the user has only one memory with: its text, or its field of the profile."""
        return memory_key(self.memory, self.profile_field)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFilter:
    """Which memories to list, and in which order. None: no such condition.

    :param topics: only memories that have each of these, in any case.
    :param search_content: only memories whose text contains this, in any case.
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
    """The number of one user's memories."""

    user_id: str
    total_memories: int
    last_updated_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimized:
    """A user's memories before and after a model merged them.

    :param after: what replaces them, whether it was stored or not.
    """

    before: list[Memory]
    after: list[Memory]
