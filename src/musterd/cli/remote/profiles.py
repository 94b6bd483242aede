"""Profiles: servers with names, and their tokens, in a file that only its owner can read."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from musterd.cli.env_file import own_variable
from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.remote.private_files import write_private
from musterd.core.redacted_urls import redacted_url


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A server, and how to sign in there."""

    url: str
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """The content of the file.

    :param used: the name of the profile that commands use if none is named.
    """

    by_name: Mapping[str, Profile] = field(default_factory=dict)
    used: str | None = None

    @classmethod
    def load(cls) -> Self:
        """Read the file; no profiles if there is none."""
        path = profiles_path()
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            profiles = {str(name): Profile(**entry) for name, entry in raw["profiles"].items()}
            return cls(by_name=profiles, used=raw.get("used"))
        except FileNotFoundError:
            return cls()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CommandFailed(f"{path} is not a file of profiles ({error}). Correct or remove it.") from error
        except OSError as error:
            raise CommandFailed(f"{path} cannot be read: {error.strerror}.") from error

    def save(self) -> None:
        """Write the file."""
        path = profiles_path()
        profiles = {name: _json_of(profile) for name, profile in self.by_name.items()}
        text = json.dumps({"used": self.used, "profiles": profiles}, indent=2)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, text.encode())
        except OSError as error:
            raise CommandFailed(f"{path} cannot be written: {error.strerror}.") from error

    def get(self, name: str) -> Profile:
        """A profile by its name."""
        if profile := self.by_name.get(name):
            return profile
        names = ", ".join(self.by_name) or "none yet"
        raise CommandFailed(
            f'There is no profile "{name}" ({names}). Add it with: musterd profile add {shlex.quote(name)} URL',
            ExitCode.USAGE,
        )

    def with_profile(self, name: str, profile: Profile) -> Self:
        """These and one more. The first one is used."""
        return replace(self, by_name={**self.by_name, name: profile}, used=self.used or name)

    def without(self, name: str) -> Self:
        """These without one."""
        rest = {other: profile for other, profile in self.by_name.items() if other != name}
        return replace(self, by_name=rest, used=None if self.used == name else self.used)


def profiles_path() -> Path:
    """The file of the profiles, in the folder for configuration of the XDG convention."""
    folder = own_variable("XDG_CONFIG_HOME")
    root = Path(folder) if folder and Path(folder).is_absolute() else Path.home() / ".config"
    return root / "musterd" / "profiles.json"


def complete_profiles(_context: object) -> dict[str, str]:
    """What the shell completes for a profile: the names, with the URLs."""
    return {name: redacted_url(profile.url) for name, profile in Profiles.load().by_name.items()}


def checked_url(url: str) -> str:
    """A URL of a server, without a slash at the end.

    :raises CommandFailed: it is not one.
    """
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")  # as the look-up does: a part may be empty or too long
    except ValueError:  # of the port, an IPv6 address or a name
        is_url = False
    if not is_url:
        # It is not repeated, because it may have a password.
        raise CommandFailed("This is not the URL of a server, such as http://127.0.0.1:7777.", ExitCode.USAGE)
    return url.rstrip("/")


def _json_of(profile: Profile) -> dict[str, Any]:
    return {"url": profile.url, **({"token": profile.token} if profile.token else {})}
