"""Changes of memories: applied to what was read, and told as ids."""

from dataclasses import replace

from musterd.core.user_memories import MemoryChanges, UserMemory, changed_ids, in_order, text_key


def memory(memory_id: str, text: str = "x", at: float = 1.0) -> UserMemory:
    """A memory."""
    return UserMemory(memory_id=memory_id, memory=text, created_at=1.0, updated_at=at)


def test_changes_are_applied_with_new_memories_first() -> None:
    changes = MemoryChanges(at=9.0, added=[memory("n")], updated=[memory("b", "y")], removed=[memory("c")])
    after = changes.applied_to([memory("a"), memory("b"), memory("c")])
    assert [(one.memory_id, one.memory, one.updated_at) for one in after] == [
        ("n", "x", 1.0),
        ("a", "x", 1.0),
        ("b", "y", 9.0),
    ]


def test_clearing_leaves_what_is_newer() -> None:
    changes = MemoryChanges(at=9.0, cleared_before=5.0)
    assert [one.memory_id for one in changes.applied_to([memory("a", at=5.0), memory("b", at=5.1)])] == ["b"]


def test_the_ids_of_several_changes_are_those_of_all_together() -> None:
    first = MemoryChanges(at=1.0, added=[memory("n"), memory("m")], updated=[memory("a")])
    second = MemoryChanges(at=2.0, updated=[memory("n"), memory("b")], removed=[memory("m"), memory("a")])
    assert changed_ids([first, second]) == {"added": ["n"], "updated": ["b"], "removed": ["a"]}
    assert changed_ids([]) == {}


def test_changes_survive_json_in_the_order_of_their_times() -> None:
    first, second = MemoryChanges(at=1.0, added=[memory("n")]), MemoryChanges(at=2.0, cleared_before=1.5)
    read = in_order([{**second.as_json(), "words": "x"}, first.as_json()])
    assert [changes.as_json() for changes in read] == [first.as_json(), second.as_json()]


def test_fields_of_the_profile_are_set_and_removed() -> None:
    name, age, new = (replace(memory(one), profile_field=one) for one in ("name", "age", "new"))
    changes = MemoryChanges(at=9.0, profile=[replace(age, memory=""), replace(new, created_at=9.0)])
    assert changes.applied_to_profile([name, age]) == [name, replace(new, created_at=9.0)]
    assert changed_ids([changes, MemoryChanges(at=10.0, profile=[new, name])]) == {
        "added": ["new"],
        "updated": ["name"],
        "removed": ["age"],
    }
    assert MemoryChanges(at=9.0, cleared_before=5.0).applied_to_profile([name]) == []


def test_texts_are_equal_apart_from_case_and_space() -> None:
    assert text_key(" Lives  in\nOSLO ") == text_key("lives in oslo")
    assert text_key("Straße") == text_key("STRASSE")
    assert text_key("Lives in Oslo") != text_key("Lives in Rome")
