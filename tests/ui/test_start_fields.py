"""The form that starts a workflow: a field for each parameter of a function, and messages that are JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.ui.conftest import DESK, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Locator, Request

    from tests.support.process import Process
    from tests.ui.visitor import Visitor

WRONG = {
    "count": ("a few", "Enter a whole number."),
    "pages": ("three", 'Enter a JSON list, such as ["a", "b"].'),
    "share": ("half", "Enter a number, such as 12.50."),
}
"""Texts that are not of the parameter's type, and what the page says to them."""
VALUES = {"count": 3, "tone": "warm", "is_urgent": True, "pages": [2, 3], "share": 0.5}


def start_form(visitor: Visitor, component_id: str) -> Locator:
    """The form of a workflow's page."""
    visitor.open(f"/teams/{component_id}")
    return visitor.page.get_by_role("region", name="Start a run")


def press_start(form: Locator) -> None:
    """Press the button that starts the run."""
    form.get_by_role("button", name="Start", exact=True).click()


def fill_values(form: Locator) -> None:
    """Fill in the message and :data:`VALUES`."""
    form.get_by_label("What should Report do?").fill("tea")
    form.get_by_label("count", exact=True).fill("3")
    form.get_by_label("tone", exact=True).select_option("warm")
    form.get_by_label("is_urgent", exact=True).select_option("true")
    form.get_by_label("pages", exact=True).fill("[2, 3]")
    form.get_by_label("share", exact=True).fill(".5")


def starts_of(visitor: Visitor) -> list[Any]:
    """The bodies of the starts that the page sends from now on."""
    bodies: list[Any] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            bodies.append(request.post_data_json)

    visitor.page.on("request", note)
    return bodies


@pytest.mark.usefixtures("shared_server")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_workflow_has_a_field_for_each_parameter(
    server: Process, open_visitor: Callable[..., Visitor], size: tuple[int, int], theme: str
) -> None:
    visitor = open_visitor(server, size=size, theme=theme)
    form = start_form(visitor, "report")
    count = form.get_by_label("count", exact=True)
    expect(count).to_have_attribute("aria-required", "true")
    expect(form.get_by_label("tone", exact=True)).to_have_value("dry")
    expect(form.get_by_label("tone", exact=True).get_by_role("option")).to_have_text(["dry", "warm"])
    expect(form.get_by_label("is_urgent", exact=True)).to_have_value("false")
    expect(form.get_by_label("share", exact=True)).to_have_attribute("placeholder", "None")
    visitor.check()
    form.get_by_label("What should Report do?").fill("tea")
    press_start(form)
    expect(form.get_by_text("Enter a value.")).to_have_count(1)
    expect(count).to_be_focused()
    visitor.check()
    if size == PHONE:
        assert visitor.small_targets() == []


@pytest.mark.usefixtures("shared_server")
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_values_of_other_types_are_refused_in_words_and_not_sent(
    server: Process, open_visitor: Callable[..., Visitor], size: tuple[int, int]
) -> None:
    visitor = open_visitor(server, size=size)
    form, starts = start_form(visitor, "report"), starts_of(visitor)
    fill_values(form)
    for name, (text, _) in WRONG.items():
        form.get_by_label(name, exact=True).fill(text)
    press_start(form)
    for name, (_, words) in WRONG.items():
        field = form.get_by_label(name, exact=True)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(words)
    expect(form.get_by_label("count", exact=True)).to_be_focused()
    visitor.check()
    assert starts == []


@pytest.mark.usefixtures("shared_server")
def test_the_values_are_sent_with_their_types(visitor: Visitor) -> None:
    form, starts = start_form(visitor, "report"), starts_of(visitor)
    fill_values(form)
    form.get_by_role("button", name="Copy as curl").click()
    expect(visitor.page.get_by_label("Command")).to_contain_text('"count":3,"tone":"warm"')
    visitor.press("Escape")
    press_start(form)
    visitor.page.wait_for_url("**/ui/#/runs/*")
    (body,) = starts
    assert body.items() >= VALUES.items()
    visitor.see("tea: count=3, tone='warm', is_urgent=True, pages=[2, 3], share=0.5", exact=True)
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_what_is_left_empty_is_not_sent(visitor: Visitor) -> None:
    form, starts = start_form(visitor, "report"), starts_of(visitor)
    form.get_by_label("What should Report do?").fill("tea")
    form.get_by_label("count", exact=True).fill("3")
    press_start(form)
    visitor.page.wait_for_url("**/ui/#/runs/*")
    (body,) = starts
    assert body == {"count": 3, "message": "tea", "background": True, "stream": False}
    visitor.see("tea: count=3, tone='dry', is_urgent=False, pages=None, share=None", exact=True)


@pytest.mark.usefixtures("shared_server")
def test_a_value_that_the_server_refuses_is_named_and_what_is_typed_stays(visitor: Visitor) -> None:
    form = start_form(visitor, "report")
    fill_values(form)
    form.get_by_label("pages", exact=True).fill('["three"]')
    press_start(form)
    expect(form.get_by_role("alert")).to_contain_text("pages")
    expect(form.get_by_role("alert")).to_contain_text("Input should be a valid integer")
    expect(form.get_by_label("What should Report do?")).to_have_value("tea")
    visitor.check()


@pytest.mark.usefixtures("shared_server")
def test_values_are_sent_beside_files(visitor: Visitor, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("a note")
    form = start_form(visitor, "report")
    fill_values(form)
    form.locator("input[type=file]").set_input_files(note)
    press_start(form)
    visitor.page.wait_for_url("**/ui/#/runs/*")
    visitor.see("tea: count=3, tone='warm', is_urgent=True, pages=[2, 3], share=0.5", exact=True)


@pytest.mark.usefixtures("shared_server")
def test_the_dialog_has_the_fields_of_the_workflow_that_is_chosen(
    server: Process, open_visitor: Callable[..., Visitor]
) -> None:
    visitor = open_visitor(server, size=PHONE)
    visitor.open("/runs")
    visitor.page.get_by_role("banner").get_by_role("button", name="Start a run").click()
    dialog = visitor.page.get_by_role("dialog", name="Start a run")
    dialog.get_by_label("Team, agent or workflow").select_option("Report")
    expect(dialog.get_by_label("count", exact=True)).to_be_visible()
    visitor.check()
    assert visitor.small_targets() == []


@pytest.mark.usefixtures("shared_server")
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_message_that_must_be_json_shows_its_names_and_is_checked(
    server: Process, open_visitor: Callable[..., Visitor], size: tuple[int, int]
) -> None:
    visitor = open_visitor(server, size=size)
    form = start_form(visitor, "booking")
    field = form.get_by_label("Input for Booking as JSON")
    expect(field).to_have_attribute("placeholder", '{"city": …, "days": …}')
    visitor.check()
    field.fill("Oslo")
    press_start(form)
    visitor.see("The message must be a JSON object.")
    expect(field).to_be_focused()
    visitor.check()
    field.fill('{"days": 2}')
    press_start(form)
    expect(form.get_by_role("alert")).to_contain_text("city")
    visitor.check()
    field.fill('{"city": "Oslo", "days": 2}')
    press_start(form)
    visitor.page.wait_for_url("**/ui/#/runs/*")
    visitor.see("collected ")
    visitor.see("Oslo")
