import io

from rich.console import Console

from robench_plugins.progress import ProgressBar, duration


def output(terminal):
    """Returns what the progress bar prints in a short run, to a terminal or a file."""
    out = io.StringIO()
    bar = ProgressBar(Console(file=out, force_terminal=terminal, width=120, markup=False))
    bar.robench_suite_started(suite="s", victims=2, cells=3, stored=4)
    bar.robench_victim_progress(victim="v", label="mf[factors=8], seed 0", phase="fit", done=2, total=9)
    bar.robench_cell_finished(record={"status": "ok"})
    bar.robench_victim_progress(victim="v", label="mf[factors=8], seed 0", phase="measure", done=1, total=2)
    if bar.progress is not None:
        bar.progress.refresh()
    bar.robench_cell_finished(record={"status": "failed"})
    bar.robench_victim_progress(victim="v", label="mf[factors=8], seed 0", phase="measure", done=2, total=2)
    bar.robench_suite_finished(suite="s", ok=2, failed=1, skipped=5, seconds=75)
    return out.getvalue()


def test_a_file_gets_a_line_per_victim():
    lines = output(terminal=False).splitlines()
    assert lines[0] == "s: 3 cells of 2 victims to measure, 4 stored already"
    assert lines[1].startswith("  mf[factors=8], seed 0: 2 cells (1 left, 0 s at this pace")
    assert "1 failed" in lines[1]
    assert lines[-1] == "s: 2 measured, 1 failed, 5 skipped in 1 min 15 s"


def test_a_terminal_shows_the_victim_its_phase_and_the_cells_left(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")  # without this, rich may assume that the terminal cannot move the cursor
    text = output(terminal=True)
    assert "mf[factors=8], seed 0" in text
    assert "cells" in text
    assert "at this pace" in text


def test_a_terminal_that_cannot_move_its_cursor_gets_lines_too(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert (
        output(terminal=True).splitlines()[1].startswith("  mf[factors=8], seed 0: 2 cells (1 left, 0 s at this pace")
    )


def test_no_time_is_given_before_the_pace_is_known(monkeypatch):
    monkeypatch.setattr("robench_plugins.progress.time.monotonic", lambda: 100.0)
    bar = ProgressBar(Console(file=io.StringIO(), width=120, markup=False))
    bar.robench_suite_started(suite="s", victims=30, cells=100, stored=0)
    for victim in range(5):
        bar.robench_cell_finished(record={"status": "ok"})
        bar.robench_victim_progress(victim=str(victim), label="popularity", phase="measure", done=1, total=1)
    assert bar.note() == "95 left"
    bar.robench_victim_progress(victim="v", label="mf", phase="fit", done=9, total=9)
    bar.robench_cell_finished(record={"status": "ok"})
    assert bar.note() == "94 left"
    bar.robench_victim_progress(victim="v", label="mf", phase="measure", done=1, total=1)
    assert bar.note().startswith("94 left, 0 s at this pace")
    bar.robench_suite_started(suite="s", victims=30, cells=100, stored=0)
    for _ in range(10):
        assert "pace" not in bar.note()
        bar.robench_cell_finished(record={"status": "failed"})
    assert bar.note().startswith("90 left, 0 s at this pace")


def test_a_file_gets_a_line_per_minute_during_a_long_victim(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("robench_plugins.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()
    bar = ProgressBar(Console(file=out, force_terminal=False, width=120, markup=False))
    bar.robench_suite_started(suite="s", victims=1, cells=10, stored=0)
    for _ in range(7):
        now[0] += 25
        bar.robench_cell_finished(record={"status": "ok"})
    assert out.getvalue().splitlines()[1:] == [
        "  7 left, 2 min 55 s at this pace",
        "  4 left, 1 min 40 s at this pace",
    ]


def test_durations_are_for_people():
    assert [duration(s) for s in (0.4, 59.4, 60, 3725)] == ["0 s", "59 s", "1 min 0 s", "62 min 5 s"]
