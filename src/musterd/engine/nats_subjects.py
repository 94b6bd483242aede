"""The names of subjects and streams on NATS, all below one prefix."""

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects of one database's processes.

    :param prefix: what they begin with, so that several databases can share one NATS.
    """

    prefix: str

    @property
    def stream(self) -> str:
        """The stream of ready runs."""
        return f"{self.prefix.replace('.', '_')}_ready"

    @property
    def all_ready(self) -> str:
        """The subjects of :meth:`ready`."""
        return f"{self.prefix}.ready.>"

    def ready(self, component: str, priority_class: str) -> str:
        """Where ready runs of a component are named."""
        return f"{self.prefix}.ready.{self.token(component)}.{priority_class}"

    def worker(self, worker_id: str) -> str:
        """Where a process is told of runs that it drives."""
        return f"{self.prefix}.worker.{worker_id}"

    @property
    def upkeep(self) -> str:
        """Where processes publish that they have done upkeep."""
        return f"{self.prefix}.upkeep"

    def question(self, worker_id: str) -> str:
        """Where a process answers whether it is alive."""
        return f"{self.prefix}.question.{worker_id}"

    def run(self, root_id: str) -> str:
        """Where processes in which a run is awaited receive its stored events."""
        return f"{self.prefix}.run.{self.token(root_id)}"

    def session(self, session_id: str) -> str:
        """Where processes in which a session is watched receive its changes."""
        return f"{self.prefix}.session.{self.token(session_id)}"

    @property
    def changes(self) -> str:
        """Where processes with a reader of all runs receive changes of runs."""
        return f"{self.prefix}.changes"

    @staticmethod
    def token(name: str) -> str:
        """A name as a single token of a subject. Users' names may contain dots and spaces."""
        return blake2b(name.encode(), digest_size=12).hexdigest()
