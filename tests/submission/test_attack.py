"""Tests artefacts of stronger attacks, and what the host refuses."""

import csv
import io
import shutil

import numpy as np
import pytest
import torch

from robench.api import Rng
from robench.engine.attack.arena import search_worst
from robench.engine.attack.costs import Costs, Diagnosis
from robench.files.cache import Cache
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.run.external import fitted_victim
from robench.store.npz import arrays_to_bytes
from robench.store.plan_file import read_plan
from robench.suite.load import load_suite

SUITE = """
name: s
seeds: [0, 1]
datasets: [{name: synthetic, users: 60, items: 40, interactions_per_user: 10}]
models: [popularity, {name: mf, factors: 4, epochs: 3}, {name: ease}]
attacks: [{name: random-noise, draws: 1, epsilon: 0.1}, {name: random-edit, draws: 1, epsilon: 2}]
ranking:
  - {surface: embedding, norm: l2, goal: untargeted, metric: ndcg@10, epsilon: 0.1}
  - {surface: history, norm: edits, goal: untargeted, metric: ndcg@10, epsilon: 2}
"""
STRONG = {"embedding": ("pgd", {"norm": "l2", "steps": 10}), "history": ("greedy-edit", {})}
MODELS = {"embedding": "mf", "history": "ease"}
pytestmark = pytest.mark.command


def craft(folder, surface, cache):
    """Returns the arrays of an artefact that a strong attack finds for a cell."""
    registry = Registry.of(Host.discover())
    suite = load_suite(folder / "suite.yaml", registry)
    plan = make_plan(suite, registry)
    wanted = (cell for cell in plan.cells if cell.threat is not None and cell.threat.surface == surface)
    cell = next(
        cell for cell in wanted if not cell.skip and cell.victim.model.name == MODELS[surface] and cell.victim.seed == 0
    )
    name, settings = STRONG[surface]
    attack = registry.class_of("attack", name).make(**settings)
    assert attack.threat() == cell.threat
    with fitted_victim(cell, suite, plan, registry, cache) as host:
        measured = host.victim._clean_of(cell).victim  # an attacker has the model; this is the shortest way to it
        arenas = measured.surface(surface).arenas(attack, cell.epsilon, Costs(), Diagnosis())
        parts = [(arena.oracle.users, search_worst(arena, attack, Rng(0)).candidate) for arena in arenas]
    users = torch.cat([some for some, _ in parts]).numpy()
    names = {"histories": "items"} if surface == "history" else {f"delta/{name}": name for name in parts[0][1]}
    found = {key: torch.cat([part[name] for _, part in parts]).numpy() for key, name in names.items()}
    return {
        "cell": np.array(cell.id),
        "victim": np.array(cell.victim.id),
        "author": np.array("Ann"),
        "users": users,
        **found,
    }


@pytest.fixture(scope="module")
def finished(robench, tmp_path_factory):
    """Returns a finished folder, and a strong artefact for each surface."""
    place = tmp_path_factory.mktemp("attacked")
    (place / "s.yaml").write_text(SUITE)
    done = robench(place, "run", "s.yaml", "--workers", "1")
    assert done.returncode == 0, done.stderr
    cache = Cache(place / "cache")
    return place / "results/s", {surface: craft(place / "results/s", surface, cache) for surface in STRONG}


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "s")


def send(robench, folder, arrays, *options):
    path = folder.parent / "a.npz"
    path.write_bytes(arrays_to_bytes(arrays))
    done = robench(folder.parent, "verify", folder.name, "--attack", "a.npz", *options)
    assert "Traceback" not in done.stderr
    return done


def refused(done, *words):
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("a.npz")
    assert all(word in line for word in words), line


def rows(folder, surface):
    table = csv.DictReader(io.StringIO((folder / "leaderboard.csv").read_text()))
    return [row for row in table if row["surface"] == surface and row["model"] == MODELS[surface]]


@pytest.mark.parametrize("surface", list(STRONG))
def test_a_stronger_attack_is_kept_and_changes_no_rank(robench, finished, folder, surface):
    arrays, (before,) = finished[1][surface], rows(folder, surface)
    assert before["best_known"] == ""
    done = send(robench, folder, arrays, "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stronger than random" in done.stdout
    assert "by Ann" in done.stdout
    (after,) = rows(folder, surface)
    assert float(after["best_known"]) < float(after["worst"])
    assert "stronger attack known" in after["flags"]
    assert {name: part for name, part in after.items() if name not in ("best_known", "flags")} == {
        name: part for name, part in before.items() if name not in ("best_known", "flags")
    }
    assert "best known" in (folder / "leaderboard.md").read_text()
    other = next(one for one in STRONG if one != surface)
    assert rows(folder, other)[0]["best_known"] == ""
    done = robench(folder.parent, "verify", "s", "--all", "--workers", "1")
    assert done.returncode == 0, done.stdout
    assert "external attacks: 1 artefact, 1 scored again, 1 of them on the same processor" in done.stdout


def test_a_weak_attack_is_not_kept(robench, finished, folder):
    arrays = finished[1]["embedding"]
    done = send(
        robench, folder, {**arrays, **{name: 0 * part for name, part in arrays.items() if "delta" in name}}, "--keep"
    )
    assert done.returncode == 1
    assert "not stronger than random-noise" in done.stdout
    assert not (folder / "attacks").exists()


def test_a_shift_beyond_its_budget_by_a_hundredth_is_refused_with_its_size(robench, finished, folder):
    arrays = finished[1]["embedding"]
    larger = {name: 1.01 * part for name, part in arrays.items() if name.startswith("delta/")}
    refused(send(robench, folder, {**arrays, **larger}, "--keep"), "times its budget", "1.01 times")
    assert not (folder / "attacks").exists()


def test_one_user_beyond_the_budget_is_enough_to_refuse(robench, finished, folder):
    arrays = finished[1]["embedding"]
    (name,) = (name for name in arrays if name.startswith("delta/"))
    shift = arrays[name].copy()
    place = int(np.abs(shift).reshape(len(shift), -1).max(1).argmax())
    shift[place] *= 2
    refused(send(robench, folder, {**arrays, name: shift}), f"the δ of user {arrays['users'][place]} is 2 times")


def test_a_history_with_too_many_edits_is_refused_with_their_number(robench, finished, folder):
    arrays = finished[1]["history"]
    histories = arrays["histories"].copy()
    kept = histories[0][histories[0] >= 0]
    histories[0, : len(kept)] = kept[::-1]
    refused(send(robench, folder, {**arrays, "histories": histories}), "edits, and its budget is 2")


def test_a_history_with_an_unknown_item_is_refused(robench, finished, folder):
    arrays = finished[1]["history"]
    histories = arrays["histories"].copy()
    histories[0, 0] = 999
    done = send(robench, folder, {**arrays, "histories": histories})
    refused(done, "history of user")


def test_other_users_and_other_victims_are_refused(robench, finished, folder):
    arrays = finished[1]["embedding"]
    refused(send(robench, folder, {**arrays, "users": arrays["users"] + 1}), "is not among the evaluated users")
    refused(send(robench, folder, {**arrays, "victim": np.array("0" * 16)}), "it was made for victim 0000")
    refused(send(robench, folder, {**arrays, "cell": np.array("0" * 16)}), "has no cell 0000")
    (name,) = (name for name in arrays if name.startswith("delta/"))
    wide = np.pad(arrays[name], ((0, 0), (0, 1)))
    refused(send(robench, folder, {**arrays, name: wide}), "was it made for another victim?")
    other = {key: part for key, part in arrays.items() if key != name} | {"delta/x": arrays[name]}
    refused(send(robench, folder, other), "the inputs of this victim are")


def test_a_cell_of_another_surface_or_without_an_attack_is_refused(robench, finished, folder):
    arrays, history = finished[1]["embedding"], finished[1]["history"]
    other = {name: history[name] for name in ("cell", "victim")}
    refused(send(robench, folder, {**arrays, **other}), "its cell is attacked through history")
    clean = next(cell for cell in read_plan(folder).cells if cell.clean and cell.victim == str(arrays["victim"]))
    refused(send(robench, folder, {**arrays, "cell": np.array(clean.cell)}), "takes no artefacts")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(robench, finished, folder, value):
    arrays = finished[1]["embedding"]
    (name,) = (name for name in arrays if name.startswith("delta/"))
    shift = arrays[name].copy()
    shift[3, 0] = value
    refused(
        send(robench, folder, {**arrays, name: shift}), f"the δ of user {arrays['users'][3]} has a number that is not"
    )


def test_an_external_attack_whose_files_were_changed_is_found(robench, finished, folder):
    assert send(robench, folder, finished[1]["embedding"], "--keep").returncode == 0
    (path,) = (folder / "attacks").glob("*.outcome.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    done = robench(folder.parent, "verify", "s", "--sample", "0")
    assert done.returncode == 1
    assert "outcome.npz: it was changed after it was written" in done.stdout


def test_a_packed_folder_keeps_an_attack_and_a_submission_carries_it(robench, finished, folder):
    assert robench(folder.parent, "pack", "s").returncode == 0
    assert send(robench, folder, finished[1]["embedding"], "--keep").returncode == 0
    assert robench(folder.parent, "submit", "s", "--licence", "CC0", "--contact", "a@b").returncode == 0
    against = ("--against", str(finished[0]))
    done = robench(folder.parent, "verify", "--submission", "s.zip", "--sample", "1", "--seed", "0", *against)
    assert done.returncode == 0, done.stdout
    assert "flags: mf, none" in done.stdout
    assert "external attacks: 1 artefact, 1 scored again" in done.stdout
