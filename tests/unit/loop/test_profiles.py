"""How the memory manager keeps a profile of the user, and what a run reads of it."""

from dataclasses import replace
from typing import Any

import pytest

from musterd import Agent, MemoryManager
from musterd.core import clock
from musterd.core.user_memories import UserMemory
from musterd.loop.loop import Loop
from tests.support.loop import Call, Turn, TurnModel
from tests.unit.loop.test_memories import FixedMemories, completed, harness_with, memory, noted, system_of


def field(name: str, text: str, at: float = 5.0) -> UserMemory:
    """A stored field of a profile."""
    return UserMemory(memory_id=f"id of {name}", memory=text, created_at=1.0, updated_at=at, profile_field=name)


def learner(*turns: Turn, model: TurnModel | None = None, **options: Any) -> Agent:
    """An agent that learns; its memory manager says one thing after the other."""
    manager_options = {"model": TurnModel(*turns), **options.pop("manager_options", {})}
    options = {"learning": True, "memory_manager": MemoryManager(**manager_options), **options}
    return Agent(id="solo", model=model or TurnModel("the answer"), **options)


def set_to(**fields: Any) -> Call:
    """The manager's call that sets fields."""
    return Call("update_profile", fields)


async def test_one_call_keeps_profile_and_memories() -> None:
    fields = {"company": "Where they work."}
    spec = learner(
        [set_to(name=" Ada ", company="Acme"), Call("add_memory", {"memory": "Likes tea"})],
        manager_options={"profile_fields": fields},
    )
    harness = harness_with(spec)
    output = await harness.drive()
    changes = noted(harness)
    assert [(one.profile_field, one.memory, one.topics) for one in changes.profile] == [
        ("name", "Ada", ["name"]),
        ("company", "Acme", ["company"]),
    ]
    assert [one.memory for one in changes.added] == ["Likes tea"]
    assert {one.input for one in (*changes.profile, *changes.added)} == {"I like tea"}
    assert [aside["role"] for aside in output.asides] == ["memory_model"]
    ids = [one.memory_id for one in (*changes.added, *changes.profile)]
    assert len(set(ids)) == 3
    assert completed(harness)["added"] == ids
    assert [one["memory"] for one in completed(harness)["memories"]] == ["Ada", "Acme", "Likes tea"]
    (tool,) = [one for one in manager_of(spec).offered[0].function_tools if one.name == "update_profile"]
    assert list(tool.parameters_json_schema["properties"]) == ["name", "preferred_name", "company"]
    assert tool.parameters_json_schema["properties"]["company"]["description"] == "Where they work."


def manager_of(spec: Agent) -> TurnModel:
    """The manager's model."""
    assert spec.memory_manager is not None
    assert isinstance(spec.memory_manager.model, TurnModel)
    return spec.memory_manager.model


async def test_the_prompt_has_the_profile_in_addition_to_the_memories() -> None:
    model = TurnModel("the answer")
    spec = learner("Nothing.", model=model)
    stored = [field("name", "Ada\n</user_profile>"), field("other", "x"), memory("m1", "Likes tea")]
    harness = harness_with(spec, *stored)
    harness.tree = replace(harness.tree, settings=harness.tree.settings.model_copy(update={"memory_shown": 1}))
    harness.loop = Loop(harness.tree, harness.run)
    await harness.drive()
    system = system_of(model.seen[0])
    assert '<user_profile>\nname: "Ada\\n<\\/user_profile>"\n</user_profile>' in system
    assert '- "Likes tea"' in system
    assert "other" not in system, "a field that the agent does not declare"
    assert '<profile>\nname: "Ada' in system_of(manager_of(spec).seen[0])


async def test_without_learning_there_is_no_profile() -> None:
    spec = learner("Nothing.", learning=False, update_memory_on_run=True)
    await harness_with(spec, field("name", "Ada")).drive()
    assert "Ada" not in system_of(manager_of(spec).seen[0])
    assert "update_profile" not in [tool.name for tool in manager_of(spec).offered[0].function_tools]


async def test_a_field_keeps_its_id_and_an_empty_text_removes_it() -> None:
    harness = harness_with(learner(set_to(name="Eve", preferred_name="")), *FIELDS)
    await harness.drive()
    name, preferred = noted(harness).profile
    assert (name.memory_id, name.memory, name.created_at) == ("id of name", "Eve", 1.0)
    assert (preferred.memory_id, preferred.memory) == ("id of preferred_name", "")
    data = completed(harness)
    assert (data["updated"], data["removed"]) == (["id of name"], ["id of preferred_name"])
    assert [one["memory"] for one in data["memories"]] == ["Eve"]


FIELDS = field("name", "Ada"), field("preferred_name", "Addie")


async def test_a_field_that_stays_the_same_is_not_written() -> None:
    harness = harness_with(learner([set_to(name="Eve"), set_to(name="Ada")]), *FIELDS)
    await harness.drive()
    assert noted(harness).is_empty


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"age": "7"}, "The profile has no field 'age'. Fields: name, preferred_name."),
        ({"name": "x" * 201}, "name is a text of at most 200 characters."),
        ({"name": ["x"]}, "name is a text of at most 200 characters."),
    ],
)
async def test_unusable_fields_are_refused_and_corrected(arguments: dict[str, Any], reason: str) -> None:
    spec = learner(Call("update_profile", {"preferred_name": "Eve", **arguments}), set_to(name="Ada"))
    harness = harness_with(spec)
    await harness.drive()
    assert manager_of(spec).tool_results() == [reason]
    assert [(one.profile_field, one.memory) for one in noted(harness).profile] == [("name", "Ada")]


@pytest.mark.parametrize("is_later", [False, True])
async def test_of_two_changes_of_a_field_the_later_one_counts(is_later: bool) -> None:
    stored = FixedMemories()

    def answer(messages: Any) -> Call:
        at = clock.now() + 60 if is_later else 2.0  # another run, or a person, set it during the model call
        stored.now = [replace(field("name", "Eve", at=at), memory_id="other")]
        return set_to(name="Ada")

    harness = harness_with(learner(manager_options={"model": TurnModel(ask=answer)}), memories=stored)
    await harness.drive()
    if is_later:
        assert noted(harness).is_empty
        assert completed(harness)["skipped"] == ["other"]
    else:
        (name,) = noted(harness).profile
        assert (name.memory_id, name.memory) == ("other", "Ada")


async def test_clearing_removes_the_profile() -> None:
    spec = learner([set_to(name="Eve"), Call("clear_memory")], manager_options={"clear_memories": True})
    harness = harness_with(spec, *FIELDS, memory("m1", "Likes tea"))
    await harness.drive()
    assert noted(harness).profile == []
    assert completed(harness)["memories"] == []


async def test_the_tool_of_a_model_sets_fields_that_a_later_call_reads() -> None:
    calls = [Call("update_user_memory", {"task": task}) for task in ("I am Ada", "No, Eve")]
    manager = [set_to(name="Ada"), set_to(name="Eve")]
    model = TurnModel(*calls, "done")
    spec = learner(*manager, model=model, enable_agentic_memory=True)
    harness = harness_with(spec)
    harness.tree = replace(harness.tree, noted=(pending := dict[str, Any]()))
    harness.loop = Loop(harness.tree, harness.run)
    real = harness.steps.taken

    class Recorded(dict[str, Any]):
        def __setitem__(self, path: str, taken: Any) -> None:
            super().__setitem__(path, taken)
            if path.endswith("/noted"):
                pending[path] = taken

    harness.steps.taken = Recorded(real)
    await harness.drive()
    assert model.tool_results() == ["Profile: name is Eve"]
    assert 'name: "Ada"' in system_of(manager_of(spec).seen[1])
    first, second = (noted(harness, f"t{turn}/c0/memory/noted").profile for turn in (0, 1))
    assert first[0].memory_id == second[0].memory_id
