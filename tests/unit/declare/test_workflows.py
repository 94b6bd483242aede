"""Declarations of workflows: what a list of steps takes, what is refused, and the tree that the server gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ValidationError

from musterd import (
    Agent,
    Condition,
    Loop,
    Media,
    OnError,
    OnReject,
    Parallel,
    Router,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Team,
    UserInputField,
    Workflow,
    pause,
)
from musterd.core.errors import DeclarationError
from musterd.declare import Registry, load
from musterd.declare.problems import reported_together
from musterd.declare.workflow.resolved import WorkflowComponent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.declare.conftest import Project


def shout(step_input: StepInput) -> StepOutput:
    return StepOutput(content=str(step_input.input).upper())


def whisper(step_input: StepInput) -> str:
    return str(step_input.input).lower()


def is_rain(step_input: StepInput) -> bool:
    return "rain" in str(step_input.input)


writer = Agent(id="writer", name="Writer", description="Writes", model="scripted")
desk = Team(id="desk", model="scripted", members=[writer])
ANY_DESK: Any = desk
ANY_NUMBER: Any = 7
ANY_ARGUMENTS: Any = ("again",)


def resolved(*steps: Any, **options: Any) -> WorkflowComponent:
    return Registry.of(workflows=[Workflow(id="news", steps=list(steps), **options)]).workflows["news"]


def places(workflow: WorkflowComponent) -> list[tuple[str, str, str]]:
    return [(node.place, node.kind, node.name) for node in workflow.nodes()]


def test_functions_agents_teams_and_workflows_stand_for_a_step_that_runs_them() -> None:
    inner = Workflow(id="inner", name="Inner", steps=[shout])
    workflow = resolved(writer, desk, shout, inner)
    assert [(node.name, node.executor_type, node.executor_name) for node in workflow.nodes()] == [
        ("Writer", "agent", "Writer"),
        ("desk", "team", "desk"),
        ("shout", "function", "shout"),
        ("Inner", "workflow", "Inner"),
    ]
    assert [node.spec.description for node in workflow.nodes()][:3] == ["Writes", None, "User-defined callable step"]
    assert [(component.kind, component.id) for component in workflow.tree()] == [
        ("workflow", "news"),
        ("agent", "writer"),
        ("team", "desk"),
        ("agent", "writer"),
        ("workflow", "inner"),
    ]


def test_inputs_and_results_as_dicts() -> None:
    class Order(BaseModel):
        item: str
        note: str | None = None

    picture = Media(url="https://media.invalid/1.png", mime_type="image/png")
    inner = StepOutput(content=Order(item="tea"), step_name="inner", images=[picture])
    outer = StepOutput(content=[1], steps=[inner], success=False)
    step_input = StepInput(input=3, previous_step_content={"a": 1}, previous_step_outputs={"outer": outer})
    assert step_input.to_dict() == {
        "input": "3",
        "additional_data": None,
        **dict.fromkeys(("images", "videos", "audio", "files")),
        "previous_step_content": '{\n  "a": 1\n}',
        "previous_step_outputs": {
            "outer": {
                "content": [1],
                "success": False,
                "stop": False,
                "steps": [
                    {
                        "content": {"item": "tea"},
                        "success": True,
                        "stop": False,
                        "step_name": "inner",
                        "images": [{"url": "https://media.invalid/1.png", "mime_type": "image/png"}],
                    }
                ],
            }
        },
    }


def test_every_step_has_a_place_in_the_declared_tree() -> None:
    workflow = resolved(
        shout,
        Steps(name="group", steps=[Loop(name="again", steps=[shout])]),
        Parallel("both", shout, writer),
        Condition(name="rainy", evaluator=is_rain, steps=[shout], else_steps=[writer]),
        Router(name="way", selector=is_rain, choices=[shout, writer]),
    )
    assert places(workflow) == [
        ("s0", "step", "shout"),
        ("s1", "steps", "group"),
        ("s1.s0", "loop", "again"),
        ("s1.s0.s0", "step", "shout"),
        ("s2", "parallel", "both"),
        ("s2.b0", "step", "shout"),
        ("s2.b1", "step", "Writer"),
        ("s3", "condition", "rainy"),
        ("s3.s0", "step", "shout"),
        ("s3.e0", "step", "Writer"),
        ("s4", "router", "way"),
        ("s4.s0", "step", "shout"),
        ("s4.s1", "step", "Writer"),
    ]


def test_steps_without_a_name_get_one_that_no_other_has() -> None:
    nameless = Agent(id="a", model="scripted")
    workflow = resolved(
        lambda step_input: "x",
        Loop(steps=[shout]),
        Loop(steps=[shout]),
        Step(name="step_4", agent=nameless),
        lambda _: 1,
    )
    assert [node.name for node in workflow.steps] == ["step_1", "Loop", "Loop 2", "step_4", "step_5"]


def test_the_id_of_a_step_is_that_of_its_place_in_each_process() -> None:
    first, second = resolved(shout, whisper), resolved(shout, whisper)
    assert [node.step_id for node in first.nodes()] == [node.step_id for node in second.nodes()]
    assert len({node.step_id for node in first.nodes()}) == 2
    assert resolved(Step(name="mine", executor=shout, step_id="my-id")).steps[0].step_id == "my-id"


def test_a_list_of_steps_may_be_one_group() -> None:
    assert places(resolved_of(Steps(name="group", steps=[shout]))) == [
        ("s0", "steps", "group"),
        ("s0.s0", "step", "shout"),
    ]


def resolved_of(steps: Any) -> WorkflowComponent:
    return Registry.of(workflows=[Workflow(id="news", steps=steps)]).workflows["news"]


def test_positional_branches_may_follow_a_name() -> None:
    assert [step.name for step in Parallel("both", shout, whisper).steps] == ["shout", "whisper"]
    assert Parallel("both", shout).name == "both"
    assert Parallel(shout, name="named").name == "named"
    assert [step.name for step in Parallel(shout, steps=[whisper]).steps] == ["shout", "whisper"]


def test_a_paused_function_asks_wherever_it_is_a_step() -> None:
    @pause(
        "Danger",
        requires_confirmation=True,
        confirmation_message="Really?",
        requires_user_input=True,
        user_input_schema=[{"name": "color", "field_type": "str"}],
    )
    def danger(step_input: StepInput) -> str:
        return "done"

    (bare,) = Workflow(id="w", steps=[danger]).steps
    assert (bare.name, bare.requires_confirmation, bare.confirmation_message) == ("Danger", True, "Really?")
    assert [field.as_json() for field in bare.user_input_schema] == [
        {
            "name": "color",
            "field_type": "str",
            "description": None,
            "required": True,
            "allowed_values": None,
            "value": None,
        }
    ]
    assert Step(name="mine", executor=danger, confirmation_message="Sure?").confirmation_message == "Sure?"
    assert danger(StepInput()) == "done"


def test_a_step_that_is_skipped_on_failure_says_so_in_on_error() -> None:
    assert Step(executor=shout).on_error == "fail"
    assert Step(executor=shout, skip_on_failure=True).on_error == "skip"


def test_policies_may_be_members_of_enums() -> None:
    step = Step(executor=shout, on_error=OnError.pause, on_reject=OnReject.cancel)
    condition = Condition(steps=[shout], on_reject=OnReject.else_branch)
    assert (step.on_error, step.on_reject, condition.on_reject) == ("pause", "cancel", "else")
    assert {type(value) for value in (step.on_error, step.on_reject, condition.on_reject)} == {str}


def test_a_list_among_the_choices_of_a_router_is_a_group() -> None:
    workflow = resolved(Router(name="way", selector=is_rain, choices=[shout, [shout, whisper]]))
    assert places(workflow)[2:] == [
        ("s0.s1", "steps", "steps_group_1"),
        ("s0.s1.s0", "step", "shout"),
        ("s0.s1.s1", "step", "whisper"),
    ]


def test_fields_for_a_person_may_be_objects() -> None:
    schema = [UserInputField(name="city"), {"name": "notes", "field_type": "text"}]
    step = Step(executor=shout, requires_user_input=True, user_input_schema=schema)
    assert [(field.name, field.field_type) for field in step.user_input_schema] == [("city", "str"), ("notes", "str")]


def test_options_of_agno_without_a_meaning_here_are_taken() -> None:
    options: dict[str, Any] = {"db": object(), "stream": True, "telemetry": False, "debug_mode": True, "user_id": "u"}
    workflow = Workflow(id="w", steps=[shout], **options)
    assert not hasattr(workflow, "db")


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: Workflow(id="w"), "workflow 'w' has no steps — list some in steps="),
    (lambda: Workflow(id="w", steps=[shout, shout]), "workflow 'w': 'steps' has two steps named 'shout' — give one"),
    (lambda: Workflow(id="w", steps=["writer"]), "workflow 'w': 'steps' contains a str — list steps, functions,"),
    (lambda: Workflow(id="w", stps=[shout]), "workflow 'w' has no field 'stps' — did you mean 'steps'?"),  # type: ignore[call-arg]
    (lambda: Workflow(id="a/b", steps=[shout]), "workflow 'a/b': the id 'a/b' cannot be part of a URL"),
    (lambda: Step(name="x"), "step 'x' runs nothing — set one of agent=, team=, executor= and workflow="),
    (lambda: Step(name="x", agent=writer, executor=shout), "step 'x' sets 'agent', 'executor' — set one of"),
    (lambda: Step(name="x", agent=ANY_DESK), "step 'x': 'agent' is a Team — use an Agent(…)"),
    (lambda: Step(name="x", agent=writer, on_error="skp"), "step 'x': 'on_error' is 'skp' — use one of 'fail'"),
    (lambda: Step(name="x", agent=writer, on_reject="else"), "step 'x': 'on_reject' is 'else' — use one of 'skip'"),
    (lambda: Step(name="x", agent=writer, retry_safe=True), "step 'x' sets retry_safe, which is for functions"),
    (lambda: Step(executor=lambda: 1), "this step: the executor takes no argument — give it one parameter"),
    (lambda: Step(executor=lambda a, other: 1), "this step: the executor has the unknown parameter 'other' — after"),
    (
        lambda: Step(executor=shout, requires_user_input=True),
        "step 'shout' sets requires_user_input without user_input",
    ),
    (
        lambda: Step(executor=shout, user_input_schema=[{"name": "a", "field_type": "date"}]),
        "step 'shout': the field 'a' has the field_type 'date' — use 'str', 'int'",
    ),
    (
        lambda: Step(executor=shout, user_input_schema=[{"name": "a"}, {"name": "a"}]),
        "step 'shout': user_input_schema has two fields named 'a'",
    ),
    (lambda: Step(executor=shout, user_input_schema=[{"nam": "a"}]), "step 'shout': a field of user_input_schema has"),
    (lambda: Steps(name="g", steps=[]), "group 'g' has no steps — list some in steps="),
    (lambda: Loop(name="l", steps=[shout], max_iterations=0), "loop 'l': 'max_iterations' is 0 — use a whole number"),
    (
        lambda: Loop(name="l", steps=[shout], end_condition=ANY_NUMBER),
        "loop 'l': 'end_condition' is 7 — use a function or a CEL",
    ),
    (lambda: Router(name="r", choices=[shout]), "router 'r' has no selector — set selector=, or requires_user_input="),
    (lambda: Router(name="r", selector=is_rain), "router 'r' has no choices — list some in choices="),
    (lambda: Condition(name="c", evaluator=lambda: True, steps=[shout]), "condition 'c': the evaluator takes no arg"),
    (
        lambda: Loop(*ANY_ARGUMENTS, steps=[shout]),
        "this loop takes keyword arguments only — write name='again' instead",
    ),
]


@pytest.mark.parametrize(("declare", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_a_wrong_declaration_is_refused_in_words(declare: Callable[[], object], says: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        declare()
    place, _, problem = refused.value.message.partition(": ")
    assert place.endswith(f"test_workflows.py:{place.rpartition(':')[2]}")
    assert problem.startswith(says)


def test_a_wrong_option_has_no_second_problem_in_its_wake() -> None:
    def declare() -> None:
        Workflow(id="w", stps=3, steps=7)  # type: ignore[call-arg]
        Step(name="x", agent=ANY_DESK)

    with pytest.raises(DeclarationError) as refused, reported_together():
        declare()
    assert len(refused.value.message.splitlines()) == 3


def test_a_selector_may_have_the_choices() -> None:
    def select(step_input: StepInput, step_choices: list[Any], session_state: dict[str, Any], run_context: Any) -> Any:
        return step_choices[0]

    Router(name="r", choices=[shout], selector=select)
    with pytest.raises(DeclarationError, match="unknown parameter 'step_choices'"):
        Condition(name="c", steps=[shout], evaluator=select)


def test_an_agent_without_a_model_and_two_agents_of_one_id_are_refused() -> None:
    with pytest.raises(DeclarationError, match="agent 'lone' has no model"):
        resolved(Agent(id="lone"))
    with pytest.raises(DeclarationError, match="workflow 'news' runs two agents with the id 'a'"):
        resolved(
            Step(name="one", agent=Agent(id="a", model="scripted")),
            Step(name="two", agent=Agent(id="a", model="scripted")),
        )


def test_an_agent_may_take_the_model_of_the_team_that_lists_it() -> None:
    member = Agent(id="member")
    workflow = Workflow(id="news", steps=[member])
    registry = Registry.of(teams=[Team(id="desk", model="m", members=[member])], workflows=[workflow])
    (component,) = registry.workflows["news"].agents_and_teams()
    assert component.model == "m"


def test_workflows_nest_five_levels_deep() -> None:
    def nested(levels: int) -> Workflow:
        steps: list[Any] = [nested(levels - 1)] if levels else [shout]
        return Workflow(id=f"w{levels}", steps=steps)

    assert [component.depth for component in Registry.of(workflows=[nested(5)]).workflows["w5"].tree()] == [*range(6)]
    with pytest.raises(DeclarationError, match="workflow 'w0' is nested 6 levels deep"):
        Registry.of(workflows=[nested(6)])


def test_what_steps_run_gets_ids_by_position() -> None:
    workflow = resolved(Agent(model="scripted"), Steps(name="g", steps=[Team(model="scripted", members=[writer])]))
    assert [component.id for component in workflow.members] == ["news-1", "news-2"]


def hash_of(*steps: Any, **options: Any) -> str:
    return resolved(*steps, **options).definition_hash


def test_the_definition_hash_covers_the_tree_and_not_the_bodies_of_functions() -> None:
    def make(content: str) -> Callable[[StepInput], str]:
        def step(step_input: StepInput) -> str:
            return content

        return step

    assert hash_of(make("a")) == hash_of(make("b"))
    changed = [
        hash_of(shout),
        hash_of(whisper),
        hash_of(shout, whisper),
        hash_of(Step(name="other", executor=shout)),
        hash_of(Step(executor=shout, max_retries=1)),
        hash_of(Steps(name="shout", steps=[shout])),
        hash_of(Loop(name="l", steps=[shout])),
        hash_of(Loop(name="l", steps=[shout], max_iterations=5)),
        hash_of(Condition(name="c", evaluator=True, steps=[shout])),
        hash_of(Condition(name="c", evaluator=is_rain, steps=[shout])),
        hash_of(Agent(id="a", model="scripted")),
        hash_of(Agent(id="a", model="scripted", instructions="Be short.")),
        hash_of(shout, input_schema=Topic),
    ]
    assert len(set(changed)) == len(changed)


class Topic(BaseModel):
    topic: str


def test_messages_may_have_a_schema() -> None:
    schema = resolved(shout, input_schema=Topic).message_schema
    assert schema is not None
    assert (schema[0], schema[1]["required"]) == ("Topic", ["topic"])


async def whole(workflow: Any, execution_input: Any, tone: str = "dry", *, number: int, session_state: Any) -> str:
    return f"{tone} {number}"


def test_a_function_may_be_the_whole_workflow() -> None:
    workflow = resolved_of(whole)
    assert (workflow.function, workflow.steps) == (whole, ())
    parameters = workflow.parameters
    assert parameters is not None
    assert parameters.schema == {
        "type": "object",
        "properties": {"tone": {"default": "dry", "type": "string"}, "number": {"type": "integer"}},
        "required": ["number"],
    }
    assert parameters.filled == {"session_state"}
    assert parameters.arguments({"number": "3", "unknown": 1}) == {"number": 3}
    with pytest.raises(ValidationError):
        parameters.arguments({"number": "many"})
    with pytest.raises(DeclarationError, match="its function does not take the workflow and the input"):
        resolved_of(lambda workflow: None)


def listed(
    workflow: Any, execution_input: Any, pages: list[int], note: str | None = None, share: float | None = None
) -> str:
    return ""


def test_a_form_has_the_arguments_of_a_function_as_json_text() -> None:
    parameters = resolved_of(listed).parameters
    assert parameters is not None
    assert parameters.schema["properties"]["pages"] == {"items": {"type": "integer"}, "type": "array"}
    assert parameters.arguments({"pages": "[2, 3]", "share": "null"}) == {"pages": [2, 3], "share": None}
    assert parameters.arguments({"pages": [2], "note": "[2]"}) == {"pages": [2], "note": "[2]"}
    for text in ("two", '["two"]', "2", "[" * 100_000):
        with pytest.raises(ValidationError):
            parameters.arguments({"pages": text})


def test_workflows_of_a_module_are_served(project: Project) -> None:
    project(
        "app.py",
        """
        from musterd import Agent, Workflow

        writer = Agent(model="scripted")
        daily_news = Workflow(steps=[writer])
        hidden = [Workflow(id="hidden", steps=[writer])]
        """,
    )
    registry = load("app.py")
    assert (list(registry.workflows), list(registry.agents)) == (["daily-news"], ["writer"])
    assert list(load("app.py:daily_news").workflows) == ["daily-news"]
    assert registry.component("workflow", "daily-news") is registry.workflows["daily-news"]
    assert [component.kind for component in registry.top_level()] == ["agent", "workflow"]
