"""A process like that of the embedded model, with a fake in place of llama.cpp."""

import os
import sys
from collections.abc import Callable
from typing import Any

from musterd.core.errors import DeclarationError
from musterd.models.local.server_child import main


class FakeLlama:
    """Says words, fails, goes on until it is stopped, or dies."""

    def handle_chat_completions(self, body: dict[str, Any], callback: Callable[[Any], bool]) -> None:
        """Do what the request says."""
        match body["say"]:
            case "raise":
                raise RuntimeError("broken")
            case "die":
                os._exit(9)
            case "forever":
                while not callback({"word": "again"}):
                    pass
            case words:
                for word in words.split():
                    callback({"word": word})


def load(settings: Any) -> FakeLlama:
    """Load what the settings name."""
    match settings.local_model:
        case "missing":
            raise DeclarationError('Model "local": no weights.')
        case "broken":
            raise RuntimeError("bad file")
    return FakeLlama()


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]], load)
