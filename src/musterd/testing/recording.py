"""An exported run, as a replay reads it."""

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from musterd.core import jsontext
from musterd.core.errors import MusterdError
from musterd.core.jsontypes import JsonObject
from musterd.core.media import references
from musterd.core.records import CODEC, ComponentKind, Input, RunRow, StepKind, StepRow, StepState, Usage
from musterd.core.requirements import ApprovalRow, Requirement
from musterd.core.states import RunState
from musterd.engine.history import member_key
from musterd.engine.recovery import loaded, references_of
from musterd.store.attempt_input import AttemptInput
from musterd.store.history import MembersHistory
from musterd.wire.run_export import FORMAT

Source: TypeAlias = "str | Path | bytes | Mapping[str, Any]"
"""An export: the path of its file, its bytes, or the object that they are."""

_KINDS: tuple[ComponentKind, ...] = ("team", "agent", "workflow")


class ReplayImpossible(MusterdError):
    """This run cannot be replayed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """The root or a member's run.

    :param path: its place in the tree; "" for the root.
    :param status: as clients see it, such as ``COMPLETED``.
    :param messages: its conversation, as clients see it; empty if it is not stored.
    """

    run_id: str
    path: str
    component_id: str
    status: str
    messages: Sequence[JsonObject]

    @property
    def is_completed(self) -> bool:
        """Whether it came to its answer."""
        return self.status == "COMPLETED"

    def at(self, step: str) -> str:
        """The path of one of its steps."""
        return f"{self.path}/{step}" if self.path else step


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """An exported run.

    :param root: the root run as clients see it.
    :param steps: its steps by path, in the order of their start.
    :param runs: the root and its members' runs, by path.
    :param inputs: what it began with.
    :param questions: the last question to a person about each call, by path.
    :param steering: the messages that model calls read, by the path of the call.
    :param row: the root's row, as far as a replay needs it.
    :param is_budgeted: whether the run or a member had a budget.
    """

    root: JsonObject
    component_kind: ComponentKind
    steps: Mapping[str, StepRow]
    runs: Mapping[str, RecordedRun]
    inputs: AttemptInput
    questions: Mapping[str, ApprovalRow]
    steering: Mapping[str, Sequence[str]]
    row: RunRow
    is_budgeted: bool

    @classmethod
    def read(cls, source: Source) -> "Recording":
        """Read an export.

        :raises ReplayImpossible: it is not one, or has not what a replay needs.
        """
        export = read_export(source)
        if (kind := next((kind for kind in _KINDS if export["run"].get(f"{kind}_id")), None)) is None:
            raise ReplayImpossible("The export names no team, agent or workflow.")
        root, replay = export["run"], export["replay"]
        steps = {item["path"]: _step(root["run_id"], item) for item in export["steps"]}
        questions = [_question(item) for item in replay["questions"]]
        recording = cls(
            root=root,
            component_kind=kind,
            steps=steps,
            runs=_runs(export, kind),
            inputs=_inputs(replay, export["contents"], _prepared(steps)),
            questions={row.requirement.path: row for row in questions},
            steering=_steering(export["messages"]),
            row=_row(root, kind, replay),
            is_budgeted=any(run.get("budget") for run in (root, *export["members"])),
        )
        recording.require_replayable()
        return recording

    def require_replayable(self) -> None:
        """Check that everything is there that the run began with.

        :raises ReplayImpossible: something is missing.
        """
        if not self.steps and self.root["status"] in ("PENDING", "RUNNING"):
            raise ReplayImpossible("The run had not begun when it was exported: it has no steps.")
        items = [item for items in self.inputs.input.media.values() for item in items]
        missing = [item for item in items if "blob" in item and item["blob"] not in self.inputs.blobs]
        if missing:
            name = missing[0].get("filename") or missing[0].get("id") or "a file"
            raise ReplayImpossible(f"The content of {name} was no longer stored when the run was exported.")

    @property
    def component_id(self) -> str:
        """The team, agent or workflow of the root."""
        return self.row.component_id

    @property
    def definition(self) -> str | None:
        """The hash of the declaration that the root began with; None if it did not come to that."""
        definition: str | None = _prepared(self.steps).get("definition")
        return definition

    def run_of(self, path: str) -> RecordedRun:
        """The run whose step is at this path."""
        above = path
        while above := above.rpartition("/")[0]:
            if above in self.runs:
                return self.runs[above]
        return self.runs[""]

    @property
    def has_lost_media(self) -> bool:
        """Whether media of the run or of its history were no longer stored when it was exported."""
        names = {name for step in self.steps.values() for name in references_of(step)}
        names.update(name for text in self.inputs.history for name in references(text))
        return not names <= self.inputs.blobs.keys()

    def result_texts(self, paths: Collection[str]) -> dict[str, str]:
        """The results of calls as texts, by path."""
        results = {path: loaded(self.steps[path]) for path in paths if path in self.steps}
        return {path: result["result"] for path, result in results.items() if "result" in result}

    def has_steps_below(self, path: str) -> bool:
        """Whether a step is recorded below this one."""
        return any(other.startswith(f"{path}/") for other in self.steps)


def read_export(source: Source) -> Mapping[str, Any]:
    """The object of an export.

    :raises OSError: its file cannot be read.
    :raises ReplayImpossible: it is not an export that this version of musterd can replay.
    """
    if isinstance(source, str | Path):
        source = Path(source).read_bytes()
    try:
        export = json.loads(source) if isinstance(source, bytes) else source
    except ValueError as error:
        raise ReplayImpossible(f"This is not an export of a run: {error}.") from error
    if not isinstance(export, Mapping) or not {"format", "run", "steps"} <= export.keys():
        raise ReplayImpossible("This is not an export of a run, which `musterd runs export RUN` writes.")
    if export["format"] > FORMAT:
        raise ReplayImpossible(f"The export has format {export['format']}, but this musterd reads only up to {FORMAT}.")
    if "replay" not in export:
        raise ReplayImpossible("A musterd without replays exported this run; export it again with a newer one.")
    if newer := [step["path"] for step in export["steps"] if step["codec"] > CODEC]:
        raise ReplayImpossible(f"Step {newer[0]} was stored by a newer version of musterd.")
    return export


def _step(root_id: str, item: JsonObject) -> StepRow:
    recorded, error = item["recorded"], item["error"]
    return StepRow(
        root_id=root_id,
        path=item["path"],
        kind=StepKind(item["kind"]),
        state=StepState(item["state"]),
        fingerprint=item["fingerprint"],
        attempt=item["attempt"],
        started_at=item["started_at"],
        ended_at=item["ended_at"],
        result=None if recorded is None else jsontext.dumps(recorded),
        usage=None if item["usage"] is None else Usage.from_json(item["usage"]),
        cost=item["cost"],
        codec=item["codec"],
        name=item["name"],
        call_id=item["tool_call_id"],
        tries=item["tries"],
        error=None if error is None else jsontext.dumps(error),
    )


def _question(item: JsonObject) -> ApprovalRow:
    requirement = Requirement.from_json(item["requirement"])
    return ApprovalRow(requirement=requirement, state=item["state"], decision=item["decision"])


def _runs(export: Mapping[str, Any], kind: ComponentKind) -> dict[str, RecordedRun]:
    root, messages = export["run"], {member["run_id"]: member.get("messages") for member in export["members"]}
    runs = [_run(root, "", root[f"{kind}_id"], root.get("messages"))]
    runs += [_run(item, item["path"], item["component_id"], messages.get(item["run_id"])) for item in root["members"]]
    return {run.path: run for run in runs}


def _run(item: JsonObject, path: str, component_id: str, messages: Sequence[JsonObject] | None) -> RecordedRun:
    return RecordedRun(
        run_id=item["run_id"], path=path, component_id=component_id, status=item["status"], messages=messages or ()
    )


def _prepared(steps: Mapping[str, StepRow]) -> JsonObject:
    """What the root's first step recorded."""
    step = steps.get("p")
    prepared: JsonObject = {} if step is None or step.result is None else json.loads(step.result)
    return prepared


def _inputs(replay: JsonObject, contents: Mapping[str, str], prepared: JsonObject) -> AttemptInput:
    summary = prepared.get("session_summary")
    return AttemptInput(
        input=Input.from_json(replay["input"]),
        state=prepared.get("session_state", {}),
        history=[jsontext.dumps(run["messages"]) for run in replay["history"]],
        history_runs=[run["run_id"] for run in replay["history"]],
        blobs={name: base64.b64decode(content) for name, content in contents.items()},
        summary=None if summary is None else {"summary": summary},
        members_history=MembersHistory(
            of_members={
                member_key(name): [jsontext.dumps(messages) for messages in conversations]
                for name, conversations in replay["member_history"].items()
            },
            of_team=[
                (jsontext.dumps(run["messages"]), jsontext.dumps(run["output"])) for run in replay["team_history"]
            ],
            run_ids=prepared.get("member_history", {}),
        ),
    )


def _steering(messages: Sequence[JsonObject]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for message in messages:
        if message["taken_path"] is not None:
            texts.setdefault(message["taken_path"], []).append(message["message"])
    return texts


def _row(root: JsonObject, kind: ComponentKind, replay: JsonObject) -> RunRow:
    return RunRow(
        run_id=root["run_id"],
        root_id=root["run_id"],
        parent_id=None,
        session_id=root["session_id"],
        user_id=replay["user_id"],
        component_kind=kind,
        component_id=root[f"{kind}_id"],
        component_name=root[f"{kind}_id"],
        model=root.get("model") or "",
        model_provider=root.get("model_provider") or "",
        state=RunState.RUNNING,
        seq=0 if replay["opens_session"] else 1,
    )
