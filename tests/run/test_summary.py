"""Tests that failed cells get one line per victim and error."""

from pathlib import Path

from robench.run.summary import Failure, Summary


def test_cells_of_a_victim_with_the_same_error_share_a_line():
    summary = Summary(Path("results/s"))
    summary.failures += [
        Failure("a" * 16, "mf, seed 0", "clean", "WorkerLost: killed"),
        Failure("b" * 16, "mf, seed 0", "fgsm ε=0.1", "WorkerLost: killed"),
        Failure("c" * 16, "mf, seed 1", "clean", "WorkerLost: killed"),
        Failure("d" * 16, "mf, seed 0", "pgd ε=0.1", "ValueError: no"),
        Failure("e" * 16, "mf, seed 0", "pgd ε=0.2", "WorkerLost: killed"),
    ]
    assert summary.failure_lines() == [
        f"failed: mf, seed 0, clean and 2 more cells: WorkerLost: killed (robench show results/s/{'a' * 16})",
        f"failed: mf, seed 1, clean: WorkerLost: killed (robench show results/s/{'c' * 16})",
        f"failed: mf, seed 0, pgd ε=0.1: ValueError: no (robench show results/s/{'d' * 16})",
    ]
