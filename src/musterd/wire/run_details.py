"""One run with what a page shows beside it: its place in its tree, its members, and what it does now."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypeAliasType, TypedDict

from musterd.core.records import ComponentKind
from musterd.core.run_summaries import SUMMARY_CHARACTERS, DetailedRun, SummarizedRun
from musterd.wire.progress import AttemptEntry, attempt_list
from musterd.wire.references import MemberReferences
from musterd.wire.run_summaries import RunSummary, outcome_of, run_summary
from musterd.wire.runs import RunOutput, TeamRunOutput, WorkflowRunOutput
from musterd.wire.shapes import UnixTime
from musterd.wire.states import STATUS, RunStatus
from musterd.wire.times import rounded_to_ms


class MemberRun(TypedDict):
    """The run of a member in a few words. Values that are not known are null."""

    run_id: str
    parent_run_id: str | None
    path: Annotated[str, Field(description="Its position in the tree: the beginning of the paths of its steps.")]
    component_kind: ComponentKind
    component_id: str
    name: str
    model: str
    status: RunStatus
    task: Annotated[str, Field(description=f"The first {SUMMARY_CHARACTERS} characters of what it was asked.")]
    started_at: UnixTime | None
    ended_at: UnixTime | None
    outcome: Annotated[
        str | None, Field(description=f"The first {SUMMARY_CHARACTERS} characters of its answer, or its error.")
    ]


class RunDetails(TypedDict):
    """What a run that is named alone has in addition."""

    root_run_id: Annotated[str, Field(description="The run that a client started.")]
    path: Annotated[str, Field(description='The position in the tree; "" for the root.')]
    runs_behind: Annotated[int, Field(description="Runs of the session that wait for the root run.")]
    forks: Annotated[list[str], Field(description="The runs that were forked from the root run, oldest first.")]
    attempt_list: Annotated[list[AttemptEntry], Field(description="The attempts of the root run, in order.")]
    members: Annotated[list[MemberRun], Field(description="Every member's run of the tree, in the order of start.")]


class _Waiting(TypedDict):
    waiting: Annotated[int, Field(description="Pending approvals of the run and its members.")]


class TeamRunDetails(TeamRunOutput, MemberReferences, _Waiting, RunDetails):
    """A run of a team, with its members."""


class AgentRunDetails(RunOutput, _Waiting, RunDetails):
    """A run of an agent, or of a member that is an agent."""


class WorkflowRunDetails(WorkflowRunOutput, MemberReferences, _Waiting, RunDetails):
    """A run of a workflow, with the runs of its steps."""


class RunSummaryDetails(RunSummary, RunDetails):
    """A run in a few words, with its members."""

    parent_run_id: str | None


AnyRunDetails = TypeAliasType(
    "AnyRunDetails", TeamRunDetails | AgentRunDetails | WorkflowRunDetails | RunSummaryDetails
)


def run_details(details: DetailedRun) -> RunDetails:
    """The keys that are added to a run."""
    run = details.run
    return {
        "root_run_id": run.root_id,
        "path": run.path,
        "runs_behind": details.runs_behind,
        "forks": details.forks,
        "attempt_list": attempt_list(details.root, details.attempts),
        "members": [_member(member) for member in details.members],
    }


def summary_with_details(details: DetailedRun) -> RunSummaryDetails:
    """The answer of ``GET /runs/{run_id}?view=summary``."""
    return {**run_summary(details.run), "parent_run_id": details.run.parent_id, **run_details(details)}


def _member(run: SummarizedRun) -> MemberRun:
    return {
        "run_id": run.run_id,
        "parent_run_id": run.parent_id,
        "path": run.path,
        "component_kind": run.component_kind,
        "component_id": run.component_id,
        "name": run.component_name,
        "model": run.model,
        "status": STATUS[run.state],
        "task": run.input,
        "started_at": rounded_to_ms(run.started_at),
        "ended_at": rounded_to_ms(run.ended_at),
        "outcome": outcome_of(run),
    }
