"""Tests the lines about failed cells.

The first failure of a victim is shown at once. At the end of a run, failures are counted.
"""

from pathlib import Path

from robench.run.summary import Failure, Summary


def test_the_first_failure_of_a_victim_is_shown_at_once_and_the_end_has_counts():
    summary = Summary(Path("results/s"))
    lines = [
        summary.add_failure(Failure(name * 16, *rest))
        for name, *rest in [
            ("a", "mf, seed 0", "clean", "WorkerLost: killed"),
            ("b", "mf, seed 0", "fgsm ε=0.1", "WorkerLost: killed"),
            ("c", "mf, seed 1", "clean", "WorkerLost: killed"),
            ("d", "mf, seed 0", "pgd ε=0.1", "ValueError: no"),
            ("e", "mf, seed 0", "pgd ε=0.2", "WorkerLost: killed"),
        ]
    ]
    assert lines == [
        "failed: mf, seed 0, clean: WorkerLost: killed",
        "",
        "failed: mf, seed 1, clean: WorkerLost: killed",
        "",
        "",
    ]
    assert summary.failure_lines() == [
        f"failed: mf, seed 0: 3 cells (robench show results/s/{'a' * 16})",
        f"failed: mf, seed 1: 1 cell (robench show results/s/{'c' * 16})",
        f"failed: mf, seed 0: 1 cell: ValueError: no (robench show results/s/{'d' * 16})",
    ]
