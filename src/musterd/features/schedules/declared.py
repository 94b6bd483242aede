"""Schedules that are declared in code, as they are stored."""

import hashlib
import uuid
from dataclasses import dataclass
from urllib.parse import quote

from musterd.core import jsontext
from musterd.declare import Registry
from musterd.features.schedules.records import OPERATOR, Definition, OnMissed, Overlap, Schedule, SessionPolicy

_NAMESPACE = uuid.UUID("3b9f4a52-6a2b-4a0e-9d52-0f9b7d0c6a11")


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared schedule. Its id follows from its name, so that every process gives it the same one."""

    name: str
    definition: Definition
    enabled: bool

    @property
    def id(self) -> str:
        """The id of the schedule."""
        return str(uuid.uuid5(_NAMESPACE, self.name))

    @property
    def hash(self) -> str:
        """A text that changes with the declaration."""
        return hashlib.sha256(jsontext.canonical(self.definition.as_json()).encode()).hexdigest()

    def schedule(self, now: float) -> Schedule:
        """The schedule as it is first stored, without its next instant."""
        return Schedule(
            id=self.id,
            owner=None,
            name=self.name,
            definition=self.definition,
            maker=OPERATOR,
            enabled=self.enabled,
            declared=self.hash,
            created_at=now,
        )


def declared_schedules(registry: Registry) -> list[Declared]:
    """The schedules of a registry."""
    return [
        Declared(
            schedule.spec.name,
            Definition(
                endpoint=f"/{schedule.component.kind}s/{quote(schedule.component.id, safe='')}/runs",
                payload={**schedule.spec.payload, "message": schedule.spec.message},
                description=schedule.spec.description,
                cron_expr=schedule.spec.cron,
                timezone=schedule.spec.timezone,
                at=schedule.spec.instant("at"),
                starts_at=schedule.spec.instant("starts_at"),
                ends_at=schedule.spec.instant("ends_at"),
                jitter_seconds=schedule.spec.jitter_seconds,
                on_missed=OnMissed(schedule.spec.on_missed),
                grace_seconds=schedule.spec.grace_seconds,
                overlap=Overlap(schedule.spec.overlap),
                session=SessionPolicy(schedule.spec.session),
                budget=None if schedule.spec.budget is None else schedule.spec.budget.as_json(),
                timeout_seconds=schedule.spec.timeout_seconds,
                max_retries=schedule.spec.max_retries,
                retry_delay_seconds=schedule.spec.retry_delay_seconds,
            ),
            schedule.spec.enabled,
        )
        for schedule in registry.schedules.values()
    ]
