import io

import pytest
from rich.console import Console

from robench.api.time_left import TimeLeft, round_duration
from robench_plugins.progress import ProgressLine, duration

LEFT = TimeLeft(180.0)
LABEL = "mf[factors=8], seed 0"


def start(line, cells=3, time_left=LEFT):
    line.robench_suite_started(suite="s", victims=2, cells=cells, stored=4, time_left=time_left)


def output(terminal, width=120):
    """Returns what the progress line prints in a short run, to a terminal or a file."""
    out = io.StringIO()
    line = ProgressLine(Console(file=out, force_terminal=terminal, width=width, markup=False))
    start(line)
    line.robench_victim_progress(victim="v", label=LABEL, phase="fit", done=2, total=9, time_left=LEFT)
    line.robench_cell_finished(record={"status": "ok"}, time_left=LEFT)
    if line.live is not None:
        line.live.refresh()
    line.robench_cell_finished(record={"status": "failed"}, time_left=LEFT)
    line.robench_victim_progress(victim="v", label=LABEL, phase="measure", done=2, total=2, time_left=LEFT)
    line.robench_suite_finished(suite="s", ok=2, failed=1, skipped=5, seconds=75)
    return out.getvalue()


def test_a_short_run_prints_two_lines_into_a_file():
    assert output(terminal=False).splitlines() == [
        "s: 3 cells of 2 victims to measure, 4 stored already, by earlier records about 3 min left",
        "s: 2 measured, 1 failed, 5 skipped in 1 min 15 s",
    ]


def test_a_terminal_shows_one_line_with_the_victim_its_phase_and_the_time(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")  # without this, rich may assume that the terminal cannot move the cursor
    assert "1 of 3 cells, about 3 min left; mf[factors=8], seed 0: epoch 2 of 9" in output(terminal=True)


def test_a_narrow_terminal_cuts_the_victim_and_not_the_time(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    text = output(terminal=True, width=40)
    assert "1 of 3 cells, about 3 min left; mf" in text
    assert "epoch" not in text


def test_a_terminal_that_cannot_move_its_cursor_gets_lines_too(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert len(output(terminal=True).splitlines()) == 2


def test_a_file_gets_a_line_per_minute(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("robench_plugins.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()
    line = ProgressLine(Console(file=out, force_terminal=False, width=120, markup=False))
    start(line, cells=10)
    for epoch in range(4):  # a long fit prints lines, too
        now[0] += 25
        line.robench_victim_progress(victim="v", label="mf", phase="fit", done=epoch, total=9, time_left=LEFT)
    for _ in range(4):
        now[0] += 25
        line.robench_cell_finished(record={"status": "ok"}, time_left=TimeLeft(40.0, unknown=2))
    assert out.getvalue().splitlines()[1:] == [
        "  0 of 10 cells, about 3 min left; mf: epoch 2 of 9",
        "  2 of 10 cells, at least 40 s left; mf: epoch 3 of 9",
    ]


def test_the_line_names_the_latest_of_several_victims():
    line = ProgressLine(Console(file=io.StringIO(), width=120))
    start(line, cells=10, time_left=None)
    for victim in ("a", "b", "a"):
        line.robench_victim_progress(victim=victim, label=victim, phase="measure", done=1, total=5, time_left=None)
    assert line.line() == "0 of 10 cells; a: cell 1 of 5 (+1)"
    for victim in ("a", "b"):
        line.robench_victim_progress(victim=victim, label=victim, phase="measure", done=5, total=5, time_left=None)
    assert line.line() == "0 of 10 cells"


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (TimeLeft(0.4), "about 5 s left"),
        (TimeLeft(57), "about 55 s left"),
        (TimeLeft(58), "about 1 min left"),
        (TimeLeft(89), "about 1 min left"),
        (TimeLeft(3569), "about 59 min left"),
        (TimeLeft(4700), "about 1 h 20 min left"),
        (TimeLeft(7100), "about 2 h left"),
        (TimeLeft(36_000), "about 10 h left"),
        (TimeLeft(180, unknown=2), "at least 3 min left"),
        (TimeLeft(0, unknown=2), ""),
    ],
)
def test_the_time_left_is_for_people(left, words):
    assert left.describe() == words


def test_durations_are_for_people():
    assert [duration(s) for s in (0.4, 59.4, 60, 3725)] == ["0 s", "59 s", "1 min 0 s", "62 min 5 s"]
    assert round_duration(100 * 3600) == "100 h"
