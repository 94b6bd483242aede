"""Runs the team without a network: its models are scripted, and each test has a database of its own."""

from team import desk

from musterd.testing import Call, TestClient, delegate


def test_the_weather_agent_knows_the_weather():
    script = {
        "desk": [delegate("weather", "How is the weather in Oslo?"), "It is sunny in Oslo."],
        "weather": [Call("get_weather", city="Oslo"), "Sunny in Oslo, 21 degrees."],
    }
    with TestClient(desk, script=script) as client:
        run = client.run(desk, "What is the weather in Oslo?")
    assert run.content == "It is sunny in Oslo."
    assert run.tasks("weather") == ["How is the weather in Oslo?"]
    assert run.calls("get_weather") == [{"city": "Oslo"}]


def test_a_poem_is_the_writers_work():
    with TestClient(desk) as client:  # without a script: each member whose role fits gets a part of the message
        run = client.run(desk, "Write a poem about rain")
    assert run.members == ["writer"]


def test_a_postcard_waits_for_a_person():
    with TestClient(desk) as client:
        run = client.run(desk, "Send a postcard to Anna")
        assert [question.arguments for question in run.requirements] == [{"recipient": "Anna"}]
        run = client.decide(run, run.requirements[0].approve())
    assert run.content == "A postcard is on its way to Anna"
