"""The earlier runs that today's code would show to a recorded run and its members."""

from collections.abc import Mapping
from dataclasses import replace

from musterd.declare import BaseComponent
from musterd.engine.history import history_query_of
from musterd.store.attempt_input import AttemptInput, HistoryQuery, history_limit
from musterd.testing.recording import Recording


def with_history_of_today(recorded: Recording, component: BaseComponent) -> Recording:
    """The recording with those of its earlier runs that today's declaration shows."""
    inputs, query = recorded.inputs, history_query_of(component, None)
    begin = max(len(inputs.history) - history_limit(query, inputs.input.options), 0)
    of_members = {
        member: texts[max(len(texts) - query.members.members.get(member, 0), 0) :]
        for member, texts in inputs.members_history.of_members.items()
    }
    inputs_of_today = replace(
        inputs,
        history=inputs.history[begin:],
        history_runs=inputs.history_runs[begin:],
        members_history=replace(inputs.members_history, of_members=of_members),
    )
    return replace(recorded, inputs=inputs_of_today)


def missing_history(recorded: Recording, component: BaseComponent) -> list[str]:
    """Sentences about earlier runs that today's declaration may show in addition to those in the recording."""
    if recorded.row.seq == 0 or recorded.definition in (None, component.definition_hash):
        return []
    query = history_query_of(component, None)
    return [
        f"{name} is shown up to {limit} earlier runs today, but the recording has only {count}."
        for name, (limit, count) in _counts(recorded.inputs, query, component.id).items()
        if limit > count
    ]


def _counts(inputs: AttemptInput, query: HistoryQuery, component_id: str) -> Mapping[str, tuple[int, int]]:
    """How many earlier runs are shown at most, and how many are recorded, by who is shown them."""
    members, recorded = query.members, inputs.members_history
    counts = {component_id: (history_limit(query, inputs.input.options), len(inputs.history))}
    counts.update(
        (member[1], (limit, len(recorded.of_members.get(member, ())))) for member, limit in members.members.items()
    )
    counts[f"A member of {component_id}"] = members.team_runs, len(recorded.of_team)
    return counts
