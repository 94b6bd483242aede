"""Patterns of ``LIKE``."""


def like_literal(text: str) -> str:
    """The pattern for ``LIKE … ESCAPE '\\'`` that matches exactly ``text``."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
