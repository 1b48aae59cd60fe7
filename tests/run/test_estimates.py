"""Tests the estimates that come from earlier records.

The order of the victims does not change the estimates.
"""

import io

from rich.console import Console
from tests.run.inline import SMALL, InlineRunner, run

from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.estimates import Estimates, describe_open, longest_first
from robench.run.preview import make_preview
from robench.run.runner import Options, make_runner
from robench.run.terminal import print_preview
from robench.tables.build import build_tables

SUITE = f"name: t\n{SMALL}seeds: [SEEDS]\nmodels: [{{name: popularity}}, {{name: mf, epochs: 2}}]\nmetrics: [ndcg@10]\n"


def test_an_open_victim_takes_what_similar_ones_took(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(SUITE.replace("SEEDS", "0"))
    registry = Registry.of(Host.discover())
    assert not any("earlier records" in note for note in make_preview(path, registry, None, (), ()).notes)
    done = run(path)
    took = {cell.victim.model.name: done.store.read(cell.id) for cell in done.cells}
    path.write_text(SUITE.replace("SEEDS", "0, 1"))
    later = make_runner(path, Host.discover(), registry, Options(tmp_path / "results"))
    estimates = Estimates(later.plan.cells, later.store)
    to_do = {cell.victim.id: {cell.id: cell} for cell in later.plan.cells if cell.victim.seed == 1}
    for cells in to_do.values():
        (cell,) = cells.values()
        record = took[cell.victim.model.name]
        assert estimates.seconds([cell]) == (record["fit_seconds"] or 0) + record["seconds"]
    order = [next(iter(cells.values())).victim.model.name for cells in longest_first(to_do, estimates).values()]
    assert order == sorted(order, key=lambda name: -(took[name]["fit_seconds"] or 0) - took[name]["seconds"])
    (line,) = describe_open([cell for cells in to_do.values() for cell in cells.values()], estimates)
    assert "to do, by earlier records: about" in line
    assert "MiB per worker" in line
    shown = make_preview(path, registry, tmp_path / "results", (), ())
    assert any("earlier records" in note for note in shown.notes)
    costs = {row.label: row.seconds for row in shown.rows}
    assert costs["mf, seed 0"] is None
    assert costs["mf, seed 1"] == (took["mf"]["fit_seconds"] or 0) + took["mf"]["seconds"]
    console = Console(file=io.StringIO(), width=120)
    print_preview(shown, console)
    text = console.file.getvalue()
    assert "to do: s" in text
    (row,) = [line.split("│") for line in text.splitlines() if "mf, seed 1" in line]
    assert row[6].strip() == f"{costs['mf, seed 1']:.1f}"
    assert row[7].strip().isdecimal()


def test_the_victims_that_one_attack_poisons_share_a_row(tmp_path):
    attacks = "attacks: [{name: bandwagon, epsilon: [0.1, 0.2]}]\ntargets: {count: 1, pick: all, sets: 2}\n"
    suite = SUITE.replace("SEEDS", "0, 1").replace("metrics: [ndcg@10]", "metrics: [t-percentile]")
    (tmp_path / "t.yaml").write_text(suite + attacks)
    shown = make_preview(tmp_path / "t.yaml", Registry.of(Host.discover()), tmp_path / "results", (), ())
    console = Console(file=io.StringIO(), width=120)
    print_preview(shown, console)
    text = console.file.getvalue()
    assert [(row.label, row.victims, row.cells) for row in shown.rows if row.label.startswith("mf")] == [
        ("mf, seed 0", 1, 1),
        ("mf, bandwagon ε=0.1", 4, 4),
        ("mf, bandwagon ε=0.2", 4, 4),
        ("mf, seed 1", 1, 1),
    ]
    assert "t: 20 victims" in text
    assert "mf, bandwagon ε=0.1: 4 victims" in text
    assert "20 cells, 0 stored" in text


def test_a_plan_without_estimates_has_no_columns_for_them(tmp_path):
    (tmp_path / "t.yaml").write_text(SUITE.replace("SEEDS", "0"))
    shown = make_preview(tmp_path / "t.yaml", Registry.of(Host.discover()), tmp_path / "results", (), ())
    console = Console(file=io.StringIO(), width=120)
    print_preview(shown, console)
    assert "to do: s" not in console.file.getvalue()


def test_the_order_of_victims_changes_no_number(tmp_path):
    class Backwards(InlineRunner):
        def _tasks(self, cells, keys):
            return super()._tasks(cells, keys)[::-1]

    path = tmp_path / "t.yaml"
    path.write_text(SUITE.replace("SEEDS", "0, 1"))
    values = []
    for name, kind in (("one", InlineRunner), ("two", Backwards)):
        host = Host.discover()
        registry = Registry.of(host)
        job = make_runner(path, host, registry, Options(tmp_path / name))
        job = kind(job.suite, job.plan, host, registry, job.options)
        with job.locks:
            job.run()
        values.append([row.value for row in build_tables(tmp_path / name, registry.metrics(["ndcg@10"])).values])
    assert values[0] == values[1]
    assert None not in values[0]
