"""Workflows as the server uses them: the declared tree with ids, places and the components of its steps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from musterd.core import clock, jsontext
from musterd.declare.agent import Agent
from musterd.declare.component import BaseComponent, Component, build, hashable, read_schema
from musterd.declare.options import options_of
from musterd.declare.source_location import declaration_error
from musterd.declare.team import Team
from musterd.declare.workflow.function_parameters import FunctionParameters, read_parameters
from musterd.declare.workflow.steps import AnyStep, Condition, Router, Step
from musterd.declare.workflow.workflow import Workflow

# The namespace of the ids of steps; any constant would do.
STEP_IDS = "5f0c6a3e-8f0b-4b57-9d6c-0e6f3e1a7f52"
# The options of steps that the definition hash covers by the tree, or not at all.
_STRUCTURE = frozenset({"name", "description", "steps", "else_steps", "choices", "agent", "team", "workflow"})

NodeKind = Literal["step", "steps", "parallel", "condition", "loop", "router"]
Resolve = Callable[[Agent | Team, int], Component]
"""Resolves an agent or a team at a depth."""


@dataclass(kw_only=True, eq=False)
class StepNode:
    """One node of the declared tree of a workflow.

    :param name: the name of the step, or its default. Unique among the nodes beside it.
    :param step_id: a UUID that depends on the workflow's id and the place only, so that it is the same in each run and
        process.
    :param place: the declared place: ``s1`` is the second step, ``s1.s0`` the first one in it, ``s1.b0`` its first
        branch, ``s1.e0`` the first of its else steps.
    :param children: the steps of a container, the branches, or the choices.
    :param component: what a step of an agent, a team or a nested workflow runs.
    :param executor: what :mod:`musterd.flow.functions` calls for the step's function; None before the first call.
    """

    kind: NodeKind
    spec: AnyStep
    name: str
    step_id: str
    place: str
    children: tuple[StepNode, ...] = field(default=(), repr=False)
    else_children: tuple[StepNode, ...] = field(default=(), repr=False)
    component: Component | WorkflowComponent | None = field(default=None, repr=False)
    executor: Any = field(default=None, repr=False)

    def tree(self) -> Iterator[StepNode]:
        """The node and all nodes below it in this workflow, containers first."""
        yield self
        for child in (*self.children, *self.else_children):
            yield from child.tree()

    @property
    def type_name(self) -> str:
        """The kind of step as clients see it in ``step_type``: ``Step``, ``Loop``, …."""
        return self.spec.type_name

    @property
    def executor_type(self) -> str:
        """What the step runs: ``agent``, ``team``, ``workflow`` or ``function``; of a container its kind."""
        if self.component is not None:
            return self.component.kind
        return "function" if isinstance(self.spec, Step) else self.kind

    @property
    def executor_name(self) -> str:
        """The name of what the step runs; of a container its own."""
        if self.component is not None:
            return self.component.name
        executor = self.spec.executor if isinstance(self.spec, Step) else None
        return self.name if executor is None else str(getattr(executor, "__name__", self.name))


@dataclass(frozen=True, kw_only=True, eq=False)
class WorkflowComponent(BaseComponent):
    """A workflow, or one that is a step of another.

    :param steps: the nodes of its list; none if ``function`` is the whole workflow.
    :param function: the function that is the whole workflow.
    :param parameters: its further parameters, which requests set.
    :param agent: the agent that decides whether a request needs the steps; None: each does.
    """

    kind: Literal["workflow"] = "workflow"
    spec: Workflow
    members: tuple[Component | WorkflowComponent, ...] = field(repr=False)
    steps: tuple[StepNode, ...] = field(repr=False)
    function: Callable[..., Any] | None = field(default=None, repr=False)
    parameters: FunctionParameters | None = field(default=None, repr=False)
    agent: Component | None = field(default=None, repr=False)

    def nodes(self) -> Iterator[StepNode]:
        """All nodes of the declared tree, without those of nested workflows."""
        for step in self.steps:
            yield from step.tree()

    def node(self, place: str) -> StepNode | None:
        """The node at a declared place."""
        return next((node for node in self.nodes() if node.place == place), None)


def build_workflow(spec: Workflow, resolve: Resolve, depth: int) -> WorkflowComponent:
    """Build the component of ``spec``, after those of its steps.

    :raises DeclarationError: two agents, teams or workflows in it have the same id.
    """
    builder = _Builder(workflow=spec, resolve=resolve, depth=depth + 1)
    steps = builder.nodes(spec.top_steps, "", "s")
    agent = _agent(spec, depth + 1)
    members = (*builder.components.values(), *(() if agent is None else (agent,)))
    schema = read_schema(spec, "input_schema", spec.input_schema)
    return WorkflowComponent(
        spec=spec,
        id=spec.id,
        name=spec.name or spec.id,
        members=members,
        depth=depth,
        definition_hash=_hash(spec, steps, schema, agent),
        message_schema=schema,
        steps=steps,
        function=spec.function,
        parameters=None if spec.function is None else read_parameters(spec),
        agent=agent,
    )


def _agent(spec: Workflow, depth: int) -> Component | None:
    if spec.agent is None or spec.agent.model is None:
        return None
    return build(spec.agent.as_agent(spec.id), spec.agent.model, (), depth)


@dataclass(kw_only=True)
class _Builder:
    """Builds the nodes of one workflow.

    :param components: what its steps run, by kind and id, in the order of the steps.
    """

    workflow: Workflow
    resolve: Resolve
    depth: int
    components: dict[tuple[str, str], Component | WorkflowComponent] = field(default_factory=dict)

    def nodes(self, steps: Sequence[AnyStep], above: str, letter: str) -> tuple[StepNode, ...]:
        names = {step.name for step in steps if step.name}
        nodes = []
        for index, step in enumerate(steps):
            name = step.name or _default_name(step, index, names)
            names.add(name)
            nodes.append(self._node(step, name, f"{above}{letter}{index}"))
        return tuple(nodes)

    def _node(self, spec: AnyStep, name: str, place: str) -> StepNode:
        component = self._component(spec) if isinstance(spec, Step) else None
        children = spec.choices if isinstance(spec, Router) else getattr(spec, "steps", ())
        else_children = spec.else_steps if isinstance(spec, Condition) else ()
        own_id = spec.step_id if isinstance(spec, Step) else None
        return StepNode(
            kind=cast("NodeKind", spec.kind),
            spec=spec,
            name=name,
            step_id=own_id or clock.derived_id(STEP_IDS, f"{self.workflow.id}/{place}"),
            place=place,
            children=self.nodes(children, f"{place}.", "b" if spec.kind == "parallel" else "s"),
            else_children=self.nodes(else_children, f"{place}.", "e"),
            component=component,
        )

    def _component(self, step: Step) -> Component | WorkflowComponent | None:
        spec = step.component
        if spec is None:
            return None
        existing = self.components.get((spec.kind, spec.id))
        if existing is not None and existing.spec is not spec:
            problem = f"{self.workflow.label} runs two {spec.kind}s with the id '{spec.id}'"
            raise declaration_error(spec.declared_at, problem, "give one of them another id")
        if existing is None:
            if isinstance(spec, Workflow):
                existing = build_workflow(spec, self.resolve, self.depth)
            else:
                existing = self.resolve(spec, self.depth)
            self.components[spec.kind, spec.id] = existing
        return existing


def _default_name(step: AnyStep, index: int, names: set[str]) -> str:
    """The name of a step without one: ``step_2``, ``Loop``, or ``Loop 2`` if there is a ``Loop`` beside it."""
    name = f"step_{index + 1}" if isinstance(step, Step) else step.type_name
    number, free = 1, name
    while free in names:
        number += 1
        free = f"{name} {number}"
    return free


def _hash(
    spec: Workflow, steps: tuple[StepNode, ...], schema: tuple[str, dict[str, Any]] | None, agent: Component | None
) -> str:
    history = [] if spec.agent is None else [spec.agent.add_workflow_history, spec.agent.num_history_runs]
    definition = {
        "kind": spec.kind,
        "id": spec.id,
        "name": spec.name,
        "input_schema": schema,
        "history": [spec.add_workflow_history_to_steps, spec.num_history_runs],
        "function": hashable(spec.function),
        "agent": None if agent is None else [agent.definition_hash, *history],
        "steps": [_definition(node) for node in steps],
    }
    return hashlib.sha256(jsontext.canonical(definition).encode("utf-8", "surrogatepass")).hexdigest()


def _definition(node: StepNode) -> dict[str, Any]:
    """What of a node the definition hash covers: functions by name, so that their bodies may be fixed."""
    options = [name for name in options_of(type(node.spec)) if name not in _STRUCTURE]
    return {
        "kind": node.kind,
        "name": node.name,
        "options": {name: hashable(getattr(node.spec, name)) for name in options},
        "component": None if node.component is None else node.component.definition_hash,
        "children": [_definition(child) for child in node.children],
        "else_children": [_definition(child) for child in node.else_children],
    }
