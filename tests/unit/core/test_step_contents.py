"""References to contents of steps, and what fills them in."""

from typing import Any

from musterd.core.events import Event, EventKind
from musterd.core.step_contents import AT, characters_shown, filled, filled_event, paths_of, place, places_in

TEXTS = {"s0": "a" * 10, "s1/b0": "b" * 10, "s2": '{"k":["ü"]}'}


def record(path: str, *, is_json: bool = False, **changes: Any) -> dict[str, Any]:
    return {"content": None, AT: place(path, 10, is_json=is_json), "step_name": path, "stop": False, **changes}


def test_contents_are_filled_in_at_any_depth_and_in_place() -> None:
    nested = {
        "content": "a group",
        "step_name": "group",
        "stop": False,
        "steps": [record("s0"), record("s2", is_json=True)],
    }
    whole = filled([nested, record("s1/b0")], TEXTS)
    assert paths_of(places_in([nested, record("s1/b0")])) == set(TEXTS)
    assert [list(step) for step in whole[0]["steps"]] == [["content", "step_name", "stop"]] * 2
    assert [step["content"] for step in whole[0]["steps"]] == ["a" * 10, {"k": ["ü"]}]
    assert whole[1] == {"content": "b" * 10, "step_name": "s1/b0", "stop": False}


def test_a_text_of_several_contents_is_put_together() -> None:
    parts = ["# All\n", place("s0", 10, is_json=False), "\n", place("s2", 11, is_json=True)]
    together = {"content": None, AT: {"parts": parts, "characters": 27}, "step_name": "both"}
    assert paths_of(places_in(together)) == {"s0", "s2"}
    assert filled(together, TEXTS)["content"] == '# All\naaaaaaaaaa\n{\n  "k": [\n    "ü"\n  ]\n}'


def test_a_content_that_is_cut_shows_its_beginning() -> None:
    assert filled({AT: {**place("s0", 10, is_json=False), "cut_to": 3}}, TEXTS)["content"] == "aaa…"
    assert filled({AT: {**place("s2", 11, is_json=True), "cut_to": 4}}, TEXTS)["content"] == '{"k"…'


def test_a_content_is_never_taken_for_a_reference() -> None:
    forged = {"content": {AT: place("s0", 10, is_json=False), "steps": [record("s0")]}, "step_name": "forged"}
    assert not paths_of(places_in(forged))
    assert filled(forged, TEXTS) == forged
    answer = Event(EventKind.CUSTOM, "r1", 1.0, {"output": record("s0")})
    assert characters_shown(answer) == 0, "only the events of workflows have records"


def test_events_are_filled_in_and_the_originals_stay() -> None:
    loop = Event(
        EventKind.LOOP_COMPLETED, "r1", 1.0, {"step": {}, "outputs": [[record("s0")], [record("s1/b0")]]}, "s3"
    )
    end = Event(
        EventKind.RUN_COMPLETED, "r1", 1.0, {"output": {"content": None, AT: record("s0")[AT], "step_results": []}}
    )
    assert filled_event(loop, TEXTS).data["outputs"][1][0]["content"] == "b" * 10
    assert filled_event(end, TEXTS).data["output"] == {"content": "a" * 10, "step_results": []}
    assert loop.data["outputs"][0][0]["content"] is None
    assert characters_shown(loop) == 20
