"""Runs the workflow without a network: its model is scripted, and each test has a database of its own."""

from workflow import article

from musterd.testing import TestClient

SCRIPT = {"writer": ["Kettles whistle."]}


def test_a_confirmed_article_is_published():
    with TestClient(article, script=SCRIPT) as client:
        run = client.run(article, "The kettle")
        assert [question.name for question in run.requirements] == ["publish"]
        run = client.decide(run, run.requirements[0].approve())
    assert run.status == "COMPLETED"
    assert run.content == "Published:\n\nKettles whistle.\n\nThe editors"


def test_a_rejected_article_is_not_published():
    with TestClient(article, script=SCRIPT) as client:
        run = client.run(article, "The kettle")
        run = client.decide(run, run.requirements[0].reject())
    assert run.status == "CANCELLED"
    assert "Published" not in run.content
