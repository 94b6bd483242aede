"""What an operator may set for webhooks, and what is said where it cannot be used: never the secret itself."""

import pytest
from pydantic import ValidationError

from musterd import Settings
from musterd.cli.settings import settings_from
from musterd.core.errors import StartError
from musterd.core.webhook_addresses import Reach
from musterd.core.webhook_secrets import keys_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("whsec_no*base64", "Secret 1: the text after whsec_ is not base64"),
        ("whsec_c2hvcnQ=", "Secret 1 is too short"),
        ("a-few-words", "Secret 1 is too short"),
        (f"{SECRET} whsec_*", "Secret 2: the text after"),
    ],
)
def test_a_secret_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, secret: str, words: str) -> None:
    monkeypatch.setenv("MUSTERD_WEBHOOK_SECRET", secret)
    with pytest.raises(StartError, match=r"^MUSTERD_WEBHOOK_SECRET: ") as caught:
        settings_from(None)
    assert words in caught.value.message
    assert secret not in caught.value.message
    with pytest.raises(ValidationError) as raised:
        Settings()
    assert secret not in str(raised.value)


def test_secrets_are_never_shown() -> None:
    settings = Settings(webhook_secret=SECRET, webhook_urls=("https://example.com/?key=1",))
    assert SECRET not in repr(settings)
    assert "key=1" not in repr(settings)
    assert len(keys_of(f" {SECRET}  a-text-of-my-own-making ")) == 2


def test_urls_need_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTERD_WEBHOOK_URLS", "http://localhost:9000/hooks, https://example.com/")
    with pytest.raises(StartError, match=r"^MUSTERD_WEBHOOK_URLS: requires MUSTERD_WEBHOOK_SECRET"):
        settings_from(None)
    monkeypatch.setenv("MUSTERD_WEBHOOK_SECRET", SECRET)
    assert settings_from(None).webhook_urls == ("http://localhost:9000/hooks", "https://example.com/")
    monkeypatch.setenv("MUSTERD_WEBHOOK_URLS", "https://example.com/,https://ana:pw@example.com/")
    with pytest.raises(StartError, match=r"^MUSTERD_WEBHOOK_URLS: URL 2: .*password"):
        settings_from(None)


def test_private_hosts_are_networks_addresses_and_names(monkeypatch: pytest.MonkeyPatch) -> None:
    reach = Reach.of(["10.1.0.0/16", "192.168.7.5", "[fd00::7]", "Hooks.Internal."])
    allowed = ["http://10.1.255.1:22/", "http://192.168.7.5/", "http://[fd00::7]/", "https://hooks.internal:444/"]
    assert [reach.problem(url) for url in allowed] == [None] * 4
    assert reach.allows("hooks.internal", "127.0.0.1")
    for url in ("http://10.2.0.1/", "http://192.168.7.6/", "http://[fd00::8]/", "http://example.com:22/"):
        assert reach.problem(url) is not None
    assert not reach.allows("example.com", "fe80::1%eth0")
    assert not reach.allows("example.com", "nonsense")
    monkeypatch.setenv("MUSTERD_WEBHOOK_PRIVATE_HOSTS", "10.0.0.1/8")
    with pytest.raises(StartError, match=r"10.0.0.1/8 is not a network"):
        settings_from(None)
