"""Tests the search: equal trials, sealed test items, and resumption."""

import json
import os
import shutil

import numpy as np
import pytest
from tests.run.inline import run

from robench.api.data import HeldOut
from robench.api.errors import UserError
from robench.engine.data.prepared import Prepared
from robench.engine.fit import loop
from robench.files.cache import Cache
from robench.plan.plan import make_plan
from robench.store.plan_file import OTHER_DATA, read_plan
from robench.suite.load import load_suite
from robench.suite.trials import parse_trials
from robench.tune import search, worker
from robench.tune.subjects import find_subjects
from robench.verify.findings import Findings
from robench.verify.stored import check_plan

from .conftest import SUITE, Inline


def trials_of(summary):
    return parse_trials(summary.trials.read_bytes(), "trials")


def test_trial_0_lets_the_fit_choose_and_the_tuned_suite_does_so_too(tuned, monkeypatch, registry):
    text = SUITE.split("models:")[0] + "models: [ease]\n"
    draw = search.draw_settings
    monkeypatch.setattr(
        search, "draw_settings", lambda axes, part, n, *more: {"weight_decay": 1e6} if n else draw(axes, part, n, *more)
    )
    summary = tuned(text)
    (best,) = summary.best
    assert (best.number, best.settings) == (0, {"weight_decay": 100.0})
    (ease,) = load_suite(summary.suite, registry).models
    assert (dict(ease.config), ease.passed["by_validation"]) == ({"weight_decay": 100.0}, True)
    assert load_suite(summary.suite, registry).tuning.planned.chosen == ("ease",)
    summary = tuned(text.replace("ease", "{name: ease, by_validation: false}"), fresh=True)
    (fixed,) = load_suite(summary.suite, registry).models
    assert dict(fixed.config) == {"weight_decay": 100.0, "by_validation": False}


def test_every_component_gets_the_same_number_of_trials_and_the_best_is_chosen(tuned, registry):
    summary = tuned(trials=3)
    header, trials = trials_of(summary)
    assert (header.seed, header.search_seed, header.suite) == (3, 0, "a")
    labels = ["mf", "ease", "knn", "adversarial-training"]  # popularity has nothing to search
    assert [(t.label, t.number) for t in trials] == [(label, number) for label in labels for number in range(3)]
    assert [len(t.fits) for t in trials] == [1] * 9 + [2] * 3  # each trial of the defence fits both values of λ
    suite = load_suite(summary.suite, registry)
    assert suite.name == "a-tuned"
    assert suite.seeds == (3, 4)
    for best in summary.best:
        same = [t for t in trials if t.label == best.label]
        assert best.value == max(t.value for t in same)
        parts = [part for part in (*suite.models, *suite.defenses) if part.label == best.label]
        assert all(best.settings.items() <= part.config.items() for part in parts)
    assert len(suite.defenses) == 3
    assert suite.tuning.planned.chosen == tuple(labels)
    assert suite.tuning.planned.untuned == {"popularity": "no trials"}
    plan = make_plan(suite, registry).to_json()["tuned"]
    assert (plan["trials"], plan["seed"], plan["chosen"]) == (3, 3, labels)


def test_a_defence_is_judged_on_the_chosen_models(tuned, monkeypatch):
    fitted = []
    monkeypatch.setattr(search, "validate", lambda task, emit: (fitted.append(task), worker.validate(task, emit)))
    summary = tuned()
    chosen = next(trial for trial in summary.best if trial.label == "mf")
    cells = [task.payload["cells"][0]["victim"] for task in fitted]
    defended = [victim for victim in cells if victim["defense"]["name"] != "none"]
    assert defended
    assert all(chosen.settings.items() <= victim["model"]["config"].items() for victim in defended)
    assert all(victim["seed"] == 3 and victim["poison"] is None for victim in cells)


def test_no_test_item_is_read(tuned, monkeypatch):
    monkeypatch.setattr(HeldOut, "release", lambda self: pytest.fail("the seal was broken"))
    monkeypatch.setattr(HeldOut, "read", lambda self: pytest.fail("held-out items were read"))
    tuned()


def test_other_test_items_give_the_same_trials(tuned, monkeypatch, tmp_path):
    before = [(t.label, t.settings, t.value) for t in trials_of(tuned())[1]]
    load = worker.load_prepared

    def canary(cache: Cache, key) -> Prepared:
        data = load(cache, key)
        data.test.items.flags.writeable = True
        data.test.items[:] = (data.test.items + 7) % data.test.n_items
        return data

    monkeypatch.setattr(worker, "load_prepared", canary)
    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path / "another"))
    assert [(t.label, t.settings, t.value) for t in trials_of(tuned(fresh=True))[1]] == before


def test_the_validation_value_is_that_of_the_fit(tuned, monkeypatch):
    values = []
    measure = loop.validation_ndcg
    monkeypatch.setattr(loop, "validation_ndcg", lambda *a, **k: values.append(measure(*a, **k)) or values[-1])
    _, trials = trials_of(tuned(SUITE.split("models:")[0] + "models: [item-knn]\n"))
    assert [trial.value for trial in trials] == values


def test_a_search_goes_on_after_a_kill_and_can_be_extended(tuned, monkeypatch):
    whole = tuned(trials=4).trials.read_bytes()
    lines = whole.splitlines(keepends=True)
    fits = []
    monkeypatch.setattr(search, "validate", lambda task, emit: (fits.append(task.id), worker.validate(task, emit)))
    path = tuned(trials=4).trials
    assert (fits, path.read_bytes()) == ([], whole)
    path.write_bytes(b"".join(lines[:6]) + lines[6][:40])  # mf is complete, and the line of a later trial is cut
    again = tuned(trials=4)
    assert len({*fits}) == 8 - 1 + 4 * 2
    drop = [{**json.loads(line), "seconds": 0} for line in again.trials.read_bytes().splitlines()]
    assert drop == [{**json.loads(line), "seconds": 0} for line in lines]
    fits.clear()
    tuned(trials=2)
    assert fits == []
    assert len(trials_of(tuned(trials=2))[1]) == 8


def test_trials_of_another_search_are_refused_unless_fresh(tuned):
    path = tuned().trials
    for text, options, message in [
        (SUITE, {"seed": 1}, "another search seed"),
        (SUITE.replace("seeds: [3", "seeds: [5"), {}, "another seed"),
        (SUITE.replace("users: 40", "users: 41"), {}, "another dataset"),
        (SUITE.replace("factors: 4", "factors: 5"), {}, "its trials of mf have other settings"),
        (SUITE.replace("ease", "{name: ease, weight_decay: 3}"), {}, None),  # nothing of ease is searched now
    ]:
        if message is None:
            assert "ease" not in {trial.label for trial in tuned(text, **options).best}
            continue
        with pytest.raises(UserError, match=message):
            tuned(text, **options)
    path.write_text("{}\n")
    with pytest.raises(UserError, match="not a file of trials"):
        tuned()
    tuned(fresh=True)


def test_two_searches_of_one_suite_exclude_each_other(tuned, monkeypatch):
    text = SUITE.split("models:")[0] + "models: [ease]\n"
    refused = []

    def validate(task, emit):
        with pytest.raises(
            UserError, match=rf"another search is at work on this file: process {os.getpid()}"
        ) as caught:
            tuned(text, fresh=True)
        refused.append(str(caught.value))
        worker.validate(task, emit)

    monkeypatch.setattr(search, "validate", validate)
    summary = tuned(text)
    assert len(refused) == 2
    assert not any("\n" in line for line in refused)
    assert len(trials_of(summary)[1]) == 2, "the refused searches dropped nothing"
    assert [path.name for path in summary.trials.parent.glob(".*")] == []


def test_a_failed_trial_counts_and_a_component_without_a_value_ends_the_search(tuned, monkeypatch):
    text = SUITE.split("models:")[0] + "models: [ease, item-knn]\n"
    from robench_plugins.models.ease import Ease  # noqa: PLC0415

    def learn(self, data):
        raise ValueError("no\nluck")

    learned = Ease.learn
    monkeypatch.setattr(Ease, "learn", lambda s, d: learned(s, d) if s.config.weight_decay == 100 else learn(s, d))
    summary = tuned(text)
    assert [t.number for t in summary.best] == [0, 0] or summary.best[0].number == 0
    assert [(t.value is None, t.error) for t in trials_of(summary)[1]][1] == (True, "ValueError: no luck")
    monkeypatch.setattr(Ease, "learn", learn)
    summary = tuned(text, fresh=True, overrides=("datasets[0].seed=1",))
    assert summary.suite is None
    assert summary.failures == ("every trial of ease failed: ValueError: no luck",)


def test_a_lost_worker_is_tried_once_more(tuned, monkeypatch):
    lost = []

    class Losing(Inline):
        def run(self, tasks, work, emit):
            for task in tasks:
                if task.id in lost or "ease" not in str(task.payload["cells"]):
                    work(task, emit)
                else:
                    lost.append(task.id)
                    emit({"kind": "lost", "task": task.id, "error": "killed"})

    monkeypatch.setattr(search, "make_executor", lambda *_: Losing())
    assert all(trial.value is not None for trial in trials_of(tuned())[1])
    assert len(lost) == 2


@pytest.mark.parametrize("value", [1.5, -0.1, np.float32(0.1), "0.3", None, True])
def test_a_forged_value_fails_the_trial(tuned, monkeypatch, value):
    event = {"kind": "cell", "value": value, "seconds": 1.0, "error": ""}
    monkeypatch.setattr(search, "validate", lambda task, emit: emit({**event, "task": task.id}))
    assert tuned().failures[0] == "every trial of mf failed: its worker sent no value from 0 to 1"


def test_mistakes(tuned, monkeypatch):
    head = SUITE.split("models:")[0]
    two = head.replace("datasets: [", "datasets: [{name: synthetic, users: 50},")
    for text, options, message in [
        (SUITE, {"trials": 0}, "0 trials"),
        (two + "models: [ease]", {}, "the suite has 2"),
        (head + "models: [popularity]", {}, "no component has a setting to search"),
        (head + "models: [{name: ease, weight_decay: 3}]", {}, "no component has a setting to search"),
    ]:
        with pytest.raises(UserError, match=message) as caught:
            tuned(text, **options)
        assert "\n" not in str(caught.value)
    text = tuned(head + "models: [ease]").suite.read_text()
    with pytest.raises(UserError, match="chosen by an earlier search"):
        tuned(text)
    monkeypatch.setattr(search, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'robench\[tune\]'"):
        tuned()


def test_a_grid_becomes_one_entry_for_each_component(tuned, registry):
    text = (
        SUITE.split("models:")[0] + "models: [{name: mf, factors: 4, epochs: 6, grid: {batch_size: [32, 64]}}, ease]\n"
    )
    summary = tuned(text)
    suite = load_suite(summary.suite, registry)
    assert [part.label for part in suite.models] == ["mf[batch_size=32]", "mf[batch_size=64]", "ease"]
    assert [part.config.get("batch_size") for part in suite.models] == [32, 64, None]
    assert suite.tuning.planned.untuned == {}


def test_a_run_on_data_with_another_digest_calls_nothing_tuned(tuned, registry, tmp_path):
    rows = [f"u{user},i{(user * 7 + place * place) % 13},{place}" for user in range(20) for place in range(6)]
    (tmp_path / "one.csv").write_text("\n".join(["user,item,time", *rows]))
    (tmp_path / "two.csv").write_text("\n".join(["user,item,time", *rows[6:]]))
    suite = tuned("name: a\ndevice: cpu\ndatasets: [{name: csv, path: one.csv}]\nmodels: [ease]\n").suite

    def read(*overrides):
        folder = run(suite, overrides=overrides).store.folder
        findings = Findings()
        check_plan(folder, registry, findings)
        planned = read_plan(folder).tuned
        return planned.chosen, dict(planned.untuned), findings.problems

    assert read() == (("ease",), {}, [])
    other = ((), {"ease": OTHER_DATA}, [])
    shutil.rmtree(tmp_path / "results")  # --set may remove no measured cell from the tables of a folder
    assert read("datasets.0.path=two.csv") == other
    assert read() == (("ease",), {}, [])
    (tmp_path / "two.csv").replace(tmp_path / "one.csv")  # the suite stays, and the data change
    assert read() == other


def test_the_command_searches_in_processes_and_survives_a_second_start(robench, tmp_path):
    (tmp_path / "a.yaml").write_text(SUITE.split("models:")[0] + "models: [ease]\n")
    first = robench(tmp_path, "tune", "a.yaml", "--trials", "2", "--workers", "2", ROBENCH_CACHE=str(tmp_path / "c"))
    assert first.returncode == 0, first.stderr
    assert first.stderr.count("ease, trial") == 2
    assert "suite: a.tuned.yaml" in first.stdout
    plan = robench(tmp_path, "plan", "a.tuned.yaml", ROBENCH_CACHE=str(tmp_path / "c"))
    assert plan.returncode == 0, plan.stderr


def test_a_search_goes_on_with_another_version_of_robench(tuned):
    text = SUITE.split("models:")[0] + "models: [ease]\n"
    path = tuned(text).trials
    header, *rest = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps({**json.loads(header), "robench": "0.0.1"}) + "\n" + "".join(rest))
    assert [trial.label for trial in tuned(text).best] == ["ease"]


def test_trials_without_a_searched_setting_are_refused(tuned):
    text = SUITE.split("models:")[0] + "models: [ease]\n"
    path = tuned(text).trials
    header, first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, json.dumps({**json.loads(first), "settings": {}}) + "\n", *rest]))
    with pytest.raises(UserError, match="its trials of ease have other settings"):
        tuned(text)


def test_no_trial_fits_a_poisoned_victim(tmp_path, registry):
    path = tmp_path / "a.yaml"
    path.write_text(SUITE + "attacks: [{name: bandwagon, epsilon: 0.1}]\ntargets: {count: 2, sets: 1}\n")
    cells = make_plan(load_suite(path, registry), registry).cells
    assert any(cell.victim.poison is not None and cell.attack is None for cell in cells)
    subjects = find_subjects(cells, 3, registry)
    assert {subject.label for subject in subjects} == {"mf", "ease", "knn", "adversarial-training"}
    assert all(cell.victim.poison is None and cell.victim.seed == 3 for one in subjects for cell in one.cells)


def test_the_tuned_suite_keeps_the_limits_of_a_component(tuned, registry):
    text = SUITE.split("models:")[0] + "models: [{name: ease, limits: {seconds: 50}}]\n"
    (ease,) = load_suite(tuned(text).suite, registry).models
    assert ease.limits == load_suite(tuned(text).suite.with_name("a.yaml"), registry).models[0].limits
    assert ease.limits
