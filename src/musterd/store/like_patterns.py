"""Patterns of ``LIKE``."""


def like_literal(text: str) -> str:
    """``text`` as a pattern of ``LIKE … ESCAPE '\\'`` that means itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
