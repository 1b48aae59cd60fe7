"""Tests the arithmetic of forecasts with made-up records and clocks."""

import math
import os
from types import SimpleNamespace

import pytest

from robench.run.estimates import Estimates, longest_first
from robench.run.forecast import Forecast, count_workers
from robench.spec import Cell, Part, TargetChoice, Victim

SPLIT, NONE, AT = Part("s", {}, "s"), Part("none", {}, "none"), Part("at", {"lambda": 0.5}, "at")
DATA, OTHER_DATA = Part("d", {}, "d"), Part("e", {}, "e")
PGD, CW = Part("pgd", {}, "pgd"), Part("cw", {}, "cw")


def victim(model="mf", seed=0, defense=NONE, data=DATA):
    return Victim(data, SPLIT, Part(model, {}, model), defense, seed, 1, TargetChoice())


def cells_of(*victims, attacks=(None, PGD), epsilons=(0.1,)):
    """Returns a cell per victim, attack and ε. None is the attack of a clean cell."""
    return [
        Cell(one, attack, epsilon)
        for one in victims
        for attack in attacks
        for epsilon in ((0.0,) if attack is None else epsilons)
    ]


def grouped(cells):
    victims = {}
    for cell in cells:
        victims.setdefault(cell.victim.id, {})[cell.id] = cell
    return victims


def record(seconds, fit=0.0, status="ok", epochs=None):
    report = {} if epochs is None else {"epochs": epochs}
    return {"status": status, "seconds": seconds, "fit_seconds": fit, "fit": report, "peak_memory_mib": None}


def estimates(known=()):
    """Returns estimates from records, given as pairs of a cell and a record."""
    store = SimpleNamespace(read={cell.id: content for cell, content in known}.get)
    return Estimates([cell for cell, _ in known], store)


def earlier(*victims, seconds=2.0, fit=10.0):
    return [(cell, record(seconds, fit)) for cell in cells_of(*victims)]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def forecast(cells, known=(), workers=1, clock=None):
    return Forecast(
        grouped(cells), known if isinstance(known, Estimates) else estimates(known), workers, clock or Clock()
    )


def test_the_first_estimate_comes_from_earlier_records_of_the_same_kind():
    cells = cells_of(victim(seed=1), victim(seed=2))
    left = forecast(cells, earlier(victim(seed=0))).time_left()
    assert (left.seconds, left.unknown) == (2 * (10 + 2 + 2), 0)
    assert forecast(cells, earlier(victim(seed=0)), workers=2).time_left().seconds == 14
    assert forecast(cells, earlier(victim(seed=0)), workers=8).time_left().seconds == 14


def test_the_run_cannot_end_before_its_longest_victim():
    known = earlier(victim("mf", 0)) + earlier(victim("lstm", 0), fit=100.0)
    cells = cells_of(victim("mf", 1), victim("lstm", 1))
    assert forecast(cells, known, workers=2).time_left().seconds == 104


def test_the_mean_of_a_kind_counts_because_one_epsilon_may_pay_for_all():
    old, new = victim(seed=0), victim(seed=1)
    times = (40.0, 0.1, 0.1)
    known = [
        (cell, record(seconds))
        for cell, seconds in zip(cells_of(old, attacks=[CW], epsilons=(1, 2, 3)), times, strict=True)
    ]
    left = forecast(cells_of(new, attacks=[CW], epsilons=(1, 2, 3)), known).time_left()
    assert left.seconds == pytest.approx(40.2), "the median would say 0.3"


def test_the_most_similar_kind_counts():
    of_defence = earlier(victim(seed=0, defense=AT), seconds=6.0)
    of_data = earlier(victim(seed=0, data=OTHER_DATA), seconds=50.0)
    known = estimates(earlier(victim(seed=0)) + of_defence + of_data)
    (cell,) = cells_of(victim(seed=1), attacks=[PGD])
    assert known.cell_seconds(cell) == 2.0
    (cell,) = cells_of(victim(seed=1, defense=AT), attacks=[PGD])
    assert known.cell_seconds(cell) == 6.0
    (cell,) = cells_of(victim(seed=1, defense=Part("new", {}, "new")), attacks=[PGD])
    assert known.cell_seconds(cell) == 4.0, "the mean over the defences on this data set"
    (cell,) = cells_of(victim(seed=1, data=Part("f", {}, "f")), attacks=[PGD])
    assert known.cell_seconds(cell) == pytest.approx((2 + 6 + 50) / 3)
    (cell,) = cells_of(victim("lstm", seed=1), attacks=[PGD])
    assert known.cell_seconds(cell) == math.inf


def test_victims_without_an_estimate_are_counted():
    cells = cells_of(victim(seed=1), victim("lstm", 0), victim("lstm", 1))
    left = forecast(cells, earlier(victim(seed=0))).time_left()
    assert (left.seconds, left.unknown) == (14, 2)


def test_the_first_victim_of_every_unknown_kind_runs_first():
    unknown = [victim(model, seed) for model in ("lstm", "ease") for seed in (0, 1)]
    victims = grouped(cells_of(victim(seed=1), *unknown))
    order = list(longest_first(victims, estimates(earlier(victim(seed=0)))))
    assert order == [one.id for one in (unknown[0], unknown[2], unknown[1], unknown[3], victim(seed=1))]


def test_a_slower_machine_scales_every_earlier_time():
    known = earlier(victim("mf", 0)) + earlier(victim("lstm", 0), seconds=4.0, fit=20.0)
    clock = Clock()
    first, later = victim("mf", 1), victim("lstm", 1)
    cells = cells_of(first, later)
    run = forecast(cells, known, clock=clock)
    assert run.time_left().seconds == 14 + 28
    for cell in cells_of(first):
        run.finish(cell, record(6.0, 30.0))
    clock.now = 60.0
    assert run.time_left().seconds == 3 * 28, "the fit and the cells took three times as long"


def test_a_part_of_a_fit_is_taken_off():
    clock = Clock()
    run = forecast(cells_of(victim(seed=1)), earlier(victim(seed=0)), clock=clock)
    run.progress(victim(seed=1).id, "fit", 3, 4)
    assert run.time_left().seconds == 2.5 + 4
    clock.now = 2.0
    run.progress(victim(seed=1).id, "measure", 1, 2)
    assert run.time_left().seconds == 4


def test_the_time_of_a_process_is_learnt_from_the_second_victim_on():
    clock = Clock()
    cells = cells_of(*(victim(seed=seed) for seed in range(1, 7)), attacks=[None])
    run = forecast(cells, [(cells_of(victim(seed=0))[0], record(1.0, 1.0))], clock=clock)
    assert run.time_left().seconds == 12
    for cell, end in zip(cells, (30.0, 35.0, 40.0), strict=False):  # 30 s for the start, then 2 s and 3 s of overhead
        clock.now = end
        run.finish(cell, record(1.0, 1.0))
    assert run.overhead == 3.0
    assert run.time_left().seconds == 3 * (2 + 3), "at the pace of the whole run it would be 40 s"


def test_the_overhead_of_parallel_victims_is_shared():
    clock = Clock()
    cells = cells_of(*(victim(seed=seed) for seed in range(1, 9)), attacks=[None])
    run = forecast(cells, [(cells_of(victim(seed=0))[0], record(1.0, 1.0))], workers=2, clock=clock)
    for cell, end in zip(cells, (30.0, 32.0, 34.0, 36.0, 38.0), strict=False):
        clock.now = end
        run.finish(cell, record(1.0, 1.0))
    assert run.overhead == 2.0, "2 processes for 8 s make 16 s for 4 victims with 2 s of work each"
    assert run.time_left().seconds == 3 * 4 / 2


def test_a_fit_from_the_cache_takes_no_time():
    known = earlier(victim(seed=0))
    stored = cells_of(victim(seed=0), attacks=[CW])
    assert estimates(known).fit_seconds(stored[0]) == 0.0, "the victim has a stored cell"
    clock = Clock()
    first, second = victim(seed=1), victim(seed=2)
    run = forecast(cells_of(first, second), known, clock=clock)
    for cell in cells_of(first):
        run.finish(cell, record(2.0, 10.0, epochs=5))  # no epoch was reported
    clock.now = 4.0
    assert run.time_left().seconds == 4.0


def test_failed_and_unknown_cells_change_no_time():
    clock = Clock()
    run = forecast(cells_of(victim(seed=1), victim(seed=2)), earlier(victim(seed=0)), clock=clock)
    for cell in [*cells_of(victim(seed=1)), *cells_of(victim(seed=9))]:
        run.finish(cell, {"status": "failed", "seconds": None, "fit_seconds": None})
    clock.now = 2.0
    assert run.time_left().seconds == 14
    for cell in cells_of(victim(seed=2)):
        run.finish(cell, record(2.0, 10.0))
    clock.now = 4.0
    assert (run.time_left().seconds, run.time_left().unknown) == (0.0, 0)


def test_without_a_number_of_workers_the_events_show_it():
    clock = Clock()
    victims = [victim(seed=seed) for seed in range(1, 5)]
    run = forecast(cells_of(*victims), earlier(victim(seed=0)), workers=None, clock=clock)
    assert run.time_left().seconds == 56
    for one in victims[:2]:
        run.progress(one.id, "fit", 0, 4)
    clock.now = 2.0
    assert run.time_left().seconds == 28


def test_the_number_of_workers_is_that_of_the_executor(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert count_workers(None, "local", "cpu") == 3
    assert count_workers(5, "local", "cpu") == 5
    assert count_workers(None, "dask", "cpu") is None
    assert count_workers(None, "local", "cuda") is None
