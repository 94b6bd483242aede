"""The command line."""

from musterd.cli.main import main

__all__ = ["main"]
