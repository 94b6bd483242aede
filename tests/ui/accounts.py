"""A server with a key, and its service accounts, which tests create and revoke while their pages are open."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.process import Deployment, Process
from tests.ui.conftest import HERE, KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.ui.visitor import Visitor

ADMIN = {"Authorization": f"Bearer {KEY}"}


@dataclass(frozen=True, slots=True)
class Account:
    """A service account that is valid."""

    id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """Those of its requests."""
        return {"Authorization": f"Bearer {self.token}"}


class Accounts:
    """The service accounts of one test, on a server with the key :data:`KEY`."""

    def __init__(self, server: Process) -> None:
        self._server = server
        self._valid: list[Account] = []

    def create(self, name: str, *scopes: str) -> Account:
        """Create an account."""
        body = {"name": name, "scopes": [{"scope": scope} for scope in scopes]}
        answer = self._server.http.post("/service-accounts", json=body, headers=ADMIN)
        assert answer.status_code == 201, answer.text
        account = Account(answer.json()["id"], answer.json()["token"])
        self._valid.append(account)
        return account

    def revoke(self, account: Account) -> None:
        """Revoke an account: the server refuses its token from now on."""
        answer = self._server.http.delete(f"/service-accounts/{account.id}", headers=ADMIN)
        assert answer.status_code == 204, answer.text
        self._valid.remove(account)

    def close(self) -> None:
        """Revoke those that are left, so that the next test can use their names."""
        for account in list(self._valid):
            self.revoke(account)


@contextlib.contextmanager
def server_with_key(template: Path, folder: Path) -> Iterator[Process]:
    """A server that asks for a key, and takes any number of wrong ones."""
    site = Deployment(folder, f"sqlite:///{shutil.copy(template, folder)}", HERE / "components.py")
    with contextlib.closing(site):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OS_SECURITY_KEY", KEY)
            server = site.serve(model_retry_seconds=0, auth_failures_per_minute=0)
        yield server


def sign_in(visitor: Visitor, key: str) -> None:
    """Enter a key or a token."""
    visitor.page.get_by_label("Key or token").fill(key)
    visitor.press("Enter")
