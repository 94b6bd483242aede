"""``musterd profile``: servers with names."""

import shlex
import sys
from typing import Annotated

from cyclopts import App, Parameter

from musterd.cli.output import Column, print_json, print_table, say
from musterd.cli.remote.arguments import ProfileName
from musterd.cli.remote.command_failed import CommandFailed, ExitCode, wrong_usage
from musterd.cli.remote.profiles import Profile, Profiles, checked_url, profiles_path
from musterd.core.redacted_urls import redacted_url

profile = App(name="profile", help="Store the URLs and tokens of servers under names.")


@profile.command(name="add")
def add(
    name: str,
    url: str,
    /,
    *,
    token: str | None = None,
    token_stdin: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Store the server at URL as NAME, or replace it. The first profile is used by all commands that name no server.

    On a terminal the command prompts for the token, so that it does not stay in the shell's history.

    Parameters
    ----------
    name
        The name of the profile.
    url
        The URL of the server, such as https://musterd.example.com.
    token
        Its key, or a token.
    token_stdin
        Read the token from standard input.
    """
    from musterd.client.client import checked_token

    url = checked_url(url)
    try:
        token = checked_token((_read_token() if token_stdin else token or _typed_token()) or "") or None
    except ValueError as error:
        raise wrong_usage(error) from error
    profiles = Profiles.load().with_profile(name, Profile(url=url, token=token))
    profiles.save()
    usage = "used by default" if profiles.used == name else f"use it with: musterd profile use {shlex.quote(name)}"
    say(f"Stored {name} in {profiles_path()}; {usage}.")
    return 0


@profile.command(name="use")
def use(name: ProfileName, /) -> int:
    """Use the profile NAME for commands that name no server."""
    profiles = Profiles.load()
    chosen = profiles.get(name)
    Profiles(by_name=profiles.by_name, used=name).save()
    say(f"Commands now talk to {redacted_url(chosen.url)}.")
    return 0


@profile.command(name="ls")
def list_profiles(*, json: bool = False) -> int:
    """List the profiles. Tokens, and passwords in URLs, are not shown.

    Parameters
    ----------
    json
        Print an array of objects.
    """
    profiles = Profiles.load()
    if json:
        print_json(
            [
                {
                    "is_used": name == profiles.used,
                    "name": name,
                    "url": redacted_url(one.url),
                    "has_token": bool(one.token),
                }
                for name, one in profiles.by_name.items()
            ]
        )
    else:
        columns = [Column(""), Column("NAME"), Column("URL", is_text=True), Column("TOKEN")]
        rows = [
            ("*" if name == profiles.used else "", name, redacted_url(one.url), "yes" if one.token else "no")
            for name, one in profiles.by_name.items()
        ]
        print_table(columns, rows, empty="There are no profiles. Add one: musterd profile add NAME URL")
    return 0


@profile.command(name="rm")
def remove(name: ProfileName, /) -> int:
    """Remove the profile NAME with its token."""
    profiles = Profiles.load()
    profiles.get(name)
    profiles.without(name).save()
    say(f"Removed {name}.")
    return 0


def _read_token() -> str:
    if token := sys.stdin.readline().strip():
        return token
    raise CommandFailed("Standard input has no token.", ExitCode.USAGE)


def _typed_token() -> str | None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    from getpass import getpass

    return getpass("Token (empty if the server needs none): ", stream=sys.stderr).strip() or None
