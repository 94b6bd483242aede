"""The bounds of pages of lists."""

PAGE_LIMIT = 1_000
"""The longest page of a list."""
MAX_PAGES = 2**53 // PAGE_LIMIT
"""The last page that can be asked for."""
