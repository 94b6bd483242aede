"""Sends decisions to the server, each the way that its requirement allows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from musterd.client import Client, Decision, Run


def decide(client: "Client", run: "Run", decisions: Sequence["Decision"]) -> None:
    """Decide about what a run waits for. A call with ``approval="required"`` is decided as an approval alone."""
    tools = {requirement.id: requirement.raw.get("tool_execution") or {} for requirement in run.requirements}
    others = []
    for decision in decisions:
        if tools[decision.item["id"]].get("approval_type") == "required":
            _resolve(client, decision)
        else:
            others.append(decision)
    if others:
        client.decide(run, *others)


def _resolve(client: "Client", decision: "Decision") -> None:
    item = decision.item
    if item.get("confirmation") is False:
        client.approvals.reject(item["id"], note=item.get("confirmation_note"))
        return
    values = {entry["name"]: entry["value"] for entry in item.get("user_input_schema") or ()}
    values |= {entry["question"]: entry["selected_options"] for entry in item.get("user_feedback_schema") or ()}
    client.approvals.approve(item["id"], values=values or None, result=item.get("external_execution_result"))
