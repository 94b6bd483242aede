"""Addresses of NATS servers: which are taken, and that no message repeats a password."""

import pytest
from pydantic import ValidationError

from musterd import Settings
from musterd.engine.nats_connection import NatsServers


@pytest.mark.parametrize(
    ("servers", "places"),
    [
        ("nats://one:4222", "one:4222"),
        ("one:4222, tls://two", "one:4222, two"),
        ("nats://ada:secret@one:4222", "one:4222"),
        ("nats://ada:p%40ss%2Fw@[::1]:4222/", "[::1]:4222"),
    ],
)
def test_messages_name_hosts_without_passwords(servers: str, places: str) -> None:
    assert NatsServers(Settings(bus=servers)).places == places


@pytest.mark.parametrize(
    "server", ["nats://ada:pass/secret@one", "nats://ada:pass#secret@one", "http://one", "nats://", "nats://one:x", ""]
)
def test_what_is_no_address_is_refused_without_repeating_it(server: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Settings(bus=f"nats://one:4222,{server}")
    (problem,) = refusal.value.errors(include_input=False)
    assert "server 2 is no address like nats://host:4222" in problem["msg"]
    assert "secret" not in problem["msg"]
