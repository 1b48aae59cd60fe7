"""Applies the checks of the host in conformance tests."""

from __future__ import annotations

from robench.engine.measure import MeasuredVictim
from robench.tables.checks import CHECKS


def assert_passes(victim: MeasuredVictim) -> None:
    """Asserts that a victim passes every check of the host.

    The message names the numbers of a failed check. In a run, the row of such a victim has no rank.

    Raises:
        AssertionError: if the victim fails a check.
    """
    checks = victim.checks
    failed = [
        f"{check.flag}: {check.why} ({', '.join(f'{name} {checks[name]:.3g}' for name in check.names)})"
        for check in CHECKS
        if check.fails(checks)
    ]
    assert not failed, "; ".join(failed)
