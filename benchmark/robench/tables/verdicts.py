"""States in words how a defended row compares with its undefended twin."""

from __future__ import annotations

from robench.tables.stats import LEVEL, MOST_SEEDS, MOST_UNITS, Estimate


def write_verdict(gap: Estimate, p: float, tests: int, unit: str, *, higher_is_better: bool) -> str:
    """Returns the verdict on the difference between a row and its twin.

    Examples are ``gains +.0155 [+.0051, +.0260]`` and ``undecided +.0120 [-.0040, +.0280]; about 9 seeds or 1,900 users
    would decide``. A row gains or loses if its adjusted p-value is below 5%.

    Args:
        gap: the value of the row minus that of its twin, paired over seeds and units.
        p: the p-value of this difference, adjusted by Holm's method.
        tests: the number of tests that the adjustment covers.
        unit: what a unit is called, ``users`` or ``targets``.
        higher_is_better: whether a higher value is better for the row.
    """
    interval = gap.interval()
    shown = (
        f"{format_difference(interval.mean)} [{format_difference(interval.low)}, {format_difference(interval.high)}]"
    )
    if p < LEVEL:
        return f"{'gains' if (gap.mean > 0) == higher_is_better else 'loses'} {shown}"
    return f"undecided {shown}; {_what_would_decide(gap, LEVEL / tests, unit)}"


def _what_would_decide(gap: Estimate, level: float, unit: str) -> str:
    """Returns a phrase that says how many seeds or units would be enough to decide.

    The difference and its spread are assumed to stay the same.
    """
    sizes = [(gap.seeds_to_decide(level), "seeds"), (gap.units_to_decide(level), unit)]
    enough = [f"{size:,} {name}" for size, name in sizes if size is not None]
    if not enough:
        return f"neither {MOST_SEEDS} seeds nor {MOST_UNITS:,} {unit} would decide"
    return f"about {' or '.join(enough)} would decide"


def format_difference(value: float) -> str:
    """Returns a difference with its sign, such as ``+.0120``.

    A difference that rounds to zero has no sign: ``.0000``.
    """
    text = f"{value:+.4f}"
    if not float(text):
        text = text[1:]
    return text.replace("0.", ".", 1) if abs(value) < 1 else text
