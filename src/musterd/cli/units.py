"""Sizes and durations in a form for people."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def format_size(size: int) -> str:
    """A number of bytes, as in ``1.5 KiB``."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"


def format_age(seconds: float) -> str:
    """A duration, as in ``3 days``."""
    for unit, name in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 0.0):.0f} seconds"
