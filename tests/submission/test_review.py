"""Tests the review of submissions, among them hostile ones.

For each forged submission, the exit code and the printed line are checked.
"""

import csv
import io
import json
import shutil
import stat
import zipfile

import numpy as np
import pytest
from tests.forked import replace_pictures
from tests.submission.forgery import (
    change_details,
    copy_record,
    copy_record_with_its_name,
    forge,
    remove_processor,
    replace_array,
    replace_processor,
    seal_again,
)
from tools.review import main

from robench.files.atomic import write_text
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.store.folder import Store
from robench.store.plan_file import read_plan
from robench.store.record import compute_metric_values
from robench.submission.review import describe_chance
from robench.tables.results import read_results

SUITE = """
name: s
seeds: [0]
datasets: [{name: synthetic, users: 60, items: 40, interactions_per_user: 10}]
models: [popularity, {name: mf, factors: 4, epochs: 2}]
attacks: [{name: fgsm, epsilon: [0.05, 0.1]}]
"""
WHO = ("--licence", "CC-BY-4.0", "--contact", "a@example.org")
pytestmark = pytest.mark.command


@pytest.fixture(scope="module")
def finished(robench, tmp_path_factory):
    """Returns the working folder of a finished run, with the submission s.zip."""
    place = tmp_path_factory.mktemp("finished")
    (place / "s.yaml").write_text(SUITE)
    (place / "claims.csv").write_text(
        "model,column,value,source\nmf,clean,0.0001,a paper\nmf,worst,0.9,another paper\n"
    )
    for command in (("run", "s.yaml", "--workers", "1"), ("submit", "results/s", *WHO)):
        done = robench(place, *command)
        assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def unpacked(finished, tmp_path):
    """Returns the submission as a folder."""
    with zipfile.ZipFile(finished / "s.zip") as archive:
        archive.extractall(tmp_path / "sub")
    return tmp_path / "sub"


def review(robench, path, *options):
    done = robench(path.parent, "verify", "--submission", path.name, *(options or ("--sample", "0")))
    assert "Traceback" not in done.stderr
    return done


def refused(done, *words):
    """Checks that a command ended with exit code 2 and one line with the words."""
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert all(word in line for word in words), line


def read_csv(folder):
    return list(csv.DictReader(io.StringIO((folder / "leaderboard.csv").read_text())))


def metrics_of(folder):
    return Registry.of(Host.discover()).metrics(map(str, read_plan(folder).metrics))


def raise_ranks(robench, folder):
    """Moves every held-out item to rank 1 under attack.

    The metrics and the tables are computed again from these ranks.
    """
    store, results = Store(folder), read_results(folder, metrics_of(folder))
    attacked = [cell for cell in results.cells if not cell.clean and results.ok(cell)]
    for cell in attacked:
        arrays = results.arrays(cell)
        store.write(results.record(cell), {**arrays, "ranks": np.ones_like(arrays["ranks"])})
    forged = read_results(folder, metrics_of(folder))
    measures = {measure: forged.metric(measure) for measure in forged.plan.metrics}
    for cell in attacked:
        values = compute_metric_values(measures, forged.outcome(cell), cell.threat, cell.kind)
        store.write({**forged.record(cell), "metrics": values}, forged.arrays(cell))
    assert robench(folder.parent, "leaderboard", folder.name).returncode == 0


def test_an_honest_submission_is_accepted(robench, finished):
    done = review(robench, finished / "s.zip", "--all", "--workers", "1", "--against", "results/s")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "submission: s.zip, suite s"
    assert lines[1] == "licence: CC-BY-4.0; contact: a@example.org"
    assert lines[-2] == "against results/s: 0 rows added, 0 moved, 0 removed, 0 verdicts changed; 2 rows compared"
    assert "nothing differs" in lines[-1]
    assert "all 4 cells were measured again" in done.stdout


def test_a_submission_holds_the_packed_results_and_its_details(finished, robench):
    again = robench(finished, "submit", "results/s", *WHO, "--out", "again.zip")
    assert again.returncode == 0, again.stderr
    assert (finished / "again.zip").read_bytes() == (finished / "s.zip").read_bytes()
    with zipfile.ZipFile(finished / "s.zip") as archive:
        details = json.loads(archive.read("SUBMISSION.json"))
        assert details["root"] == json.loads(archive.read("MANIFEST.json"))["root"]
    (machine,) = details["hardware"]
    assert machine["cells"] == 4
    assert machine["device"] == "cpu"


@pytest.mark.parametrize("sealed", [False, True])
def test_an_edited_digit_in_a_table_is_found(robench, unpacked, sealed):
    path = unpacked / "leaderboard.csv"
    row = next(row for row in read_csv(unpacked) if row["model"] == "mf")
    path.write_text(path.read_text().replace(row["worst"], row["worst"].replace("0.", "0.9", 1)))
    if sealed:
        seal_again(unpacked)
    done = review(robench, unpacked)
    assert done.returncode == 1
    assert "leaderboard.csv:2: not what the stored cells give" in done.stdout


def test_tables_that_do_not_follow_from_the_arrays_are_found(robench, unpacked, finished, tmp_path):
    other = shutil.copytree(finished / "results/s", tmp_path / "other")
    raise_ranks(robench, other)
    names = ("leaderboard.csv", "leaderboard.json", "leaderboard.md", "cells.csv", "index.html")
    for name in names:
        shutil.copy(other / name, unpacked / name)
    seal_again(unpacked)
    done = review(robench, unpacked, "--sample", "0", "--against", str(finished / "results/s"))
    assert done.returncode == 1
    for name in names:
        assert f"{name}" in done.stdout
    # the comparison with the board uses the tables that the arrays give, so nothing moves
    assert "0 rows added, 0 moved, 0 removed, 0 verdicts changed" in done.stdout


def test_edited_arrays_with_fitting_tables_are_found_by_the_sample_alone(robench, finished, tmp_path):
    forged = shutil.copytree(finished / "results/s", tmp_path / "s")
    raise_ranks(robench, forged)
    assert robench(tmp_path, "submit", "s", *WHO).returncode == 0
    blind = review(robench, tmp_path / "s.zip", "--sample", "0", "--against", str(finished / "results/s"))
    assert blind.returncode == 0
    assert "a sample of 0 of 4 cells finds a wrong cell with a probability of 0.0% for 1 wrong cell" in blind.stdout
    assert "value: mf, none" in blind.stdout
    done = review(robench, tmp_path / "s.zip", "--all", "--workers", "1")
    assert done.returncode == 1
    assert "measured again: metrics are" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 problems"


def test_forged_files_are_those_of_a_careful_forger(robench, unpacked):
    forge(unpacked, lambda records, arrays: None)
    assert review(robench, unpacked).returncode == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (copy_record, "the record of another cell"),
        (copy_record_with_its_name, "its id is not the digest of its spec"),
        (replace_array("loss", np.nan), "the array 'loss' has values that are not finite"),
        (replace_array("loss", np.inf), "the array 'loss' has values that are not finite"),
        (replace_array("ranks", np.nan), "the array 'ranks' has the type float64"),
        (replace_array("ranks", 0), "the array 'ranks' has values below 1"),
        (replace_array("ranks", 10**6), "the array 'ranks' has ranks beyond the candidates"),
        (replace_processor({"a": 1}), "provenance.processor': Input should be a valid string"),
        (remove_processor, "its hardware is not that of the records"),
    ],
)
def test_forged_records_and_arrays_are_found(robench, unpacked, change, problem):
    forge(unpacked, change)
    done = review(robench, unpacked)
    assert done.returncode == 1, done.stderr
    assert problem in done.stdout


@pytest.mark.parametrize("name", ["SUBMISSION.json", "MANIFEST.json", "plan.json", "suite.yaml", "leaderboard.csv"])
def test_an_empty_file_in_a_submission_is_named(robench, unpacked, name):
    (unpacked / name).write_bytes(b"")
    done = review(robench, unpacked)
    assert done.returncode in (1, 2)
    assert any(name in line for line in (done.stdout + done.stderr).splitlines())


@pytest.mark.parametrize("name", ["records.jsonl", "arrays.npz"])
def test_empty_packed_cells_with_fitting_hashes_are_found(robench, unpacked, name):
    (unpacked / name).write_bytes(b"")
    seal_again(unpacked)
    done = review(robench, unpacked)
    assert done.returncode in (1, 2)
    assert name in done.stdout + done.stderr


def test_the_chance_of_a_sample_is_that_of_draws_without_replacement():
    assert describe_chance(4, 1) == (
        "a sample of 1 of 4 cells finds a wrong cell with a probability of 25.0% for 1 wrong cell"
    )
    assert "3.0% for 1 wrong cell, 27.3% for 10 wrong cells" in describe_chance(100, 3)  # 1 − C(90, 3) / C(100, 3)
    assert describe_chance(4, None) == "all 4 cells were measured again"


def test_claims_are_compared_with_the_arrays(robench, finished, tmp_path):
    done = robench(finished, "submit", "results/s", *WHO, "--claims", "claims.csv", "--out", str(tmp_path / "c.zip"))
    assert done.returncode == 0, done.stderr
    done = review(robench, tmp_path / "c.zip")
    assert done.returncode == 1
    assert "claim met: mf, none (synthetic" in done.stdout
    assert "worst case .9000 reported" in done.stdout
    assert "(source: another paper)" in done.stdout


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model,value\nmf,0.1\n", "the claim has no source"),
        ("model,value,source\nmff,0.1,x\n", "the claim names 0 rows"),
        ("model,value,source,colour\nmf,0.1,x,red\n", "unknown entry 'colour'"),
        ("model,value,source\nmf,nan,x\n", "a value is a number"),
        ("model,value,source\npopularity,0.1,x\n", "the row has no value worst"),
    ],
)
def test_a_claim_that_names_no_row_or_no_value_is_refused(robench, finished, tmp_path, text, problem):
    (tmp_path / "c.csv").write_text(text)
    refused(robench(finished, "submit", "results/s", *WHO, "--claims", str(tmp_path / "c.csv")), "c.csv:2", problem)


def test_a_submitted_claim_about_no_row_is_not_met(robench, finished, tmp_path):
    claims = ("--claims", "claims.csv", "--out", str(tmp_path / "sub"))
    assert robench(finished, "submit", "results/s", *WHO, *claims).returncode == 0
    (claim, _) = json.loads((tmp_path / "sub/SUBMISSION.json").read_text())["claims"]
    change_details(tmp_path / "sub", claims=[{**claim, "model": "nobody"}])
    done = review(robench, tmp_path / "sub")
    assert done.returncode == 1
    assert "claim not met: no table has the row nobody, none λ=1" in done.stdout


def test_a_comment_is_markdown_and_its_texts_are_inert(robench, unpacked, finished):
    licence = "CC0 <img src=x onerror=alert(1)>"
    change_details(unpacked, licence=licence, contact="<script>alert(1)</script>@x [a](http://b)")
    done = review(robench, unpacked, "--sample", "0", "--format", "md", "--against", str(finished / "results/s"))
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("## Submission sub: nothing differs")
    assert "<script" not in done.stdout
    assert "<img" not in done.stdout
    assert "](http" not in done.stdout


def test_ci_comments_on_every_file_and_fails_if_one_is_wrong(finished, unpacked, tmp_path, monkeypatch):
    replace_pictures(monkeypatch)  # as in the run that is reviewed
    (unpacked / "leaderboard.md").write_text("# The best board\n")
    shutil.make_archive(str(tmp_path / "other"), "zip", unpacked)
    (tmp_path / "s.npz").write_bytes(b"<script>alert(1)</script>")
    boards, out = finished / "results", tmp_path / "comment.md"
    options = ("--boards", str(boards), "--sample", "0", "--out", str(out))
    assert main([str(finished / "s.zip"), *options]) == 0
    assert out.read_text("utf-8").startswith("## Submission s.zip: nothing differs")
    assert f"### Against {boards / 's'}" in out.read_text("utf-8").replace("\\", "")
    assert main([str(finished / "s.zip"), str(tmp_path / "other.zip"), *options]) == 1
    assert "## Submission other.zip: **it disagrees" in out.read_text("utf-8")
    assert "### Against" in out.read_text("utf-8").partition("## Submission other.zip")[0]
    assert "### Against" not in out.read_text("utf-8").partition("## Submission other.zip")[2], "there is no such board"
    assert main([str(tmp_path / "s.npz"), str(finished / "s.zip"), *options]) == 2
    assert out.read_text("utf-8").startswith("## s.npz cannot be used")
    assert "<script" not in out.read_text("utf-8")


def test_rows_that_are_added_and_removed_are_named(robench, finished, tmp_path):
    (tmp_path / "s.yaml").write_text(SUITE.replace("factors: 4, ", "factors: 3, label: mine, "))
    assert robench(tmp_path, "run", "s.yaml", "--workers", "1").returncode == 0
    assert robench(tmp_path, "submit", "results/s", *WHO).returncode == 0
    done = review(robench, tmp_path / "s.zip", "--sample", "0", "--against", str(finished / "results/s"))
    assert done.returncode == 0, done.stdout
    assert "added: mine, none (synthetic" in done.stdout
    assert "removed: mf, none (synthetic" in done.stdout
    assert "1 row added, 0 moved, 1 removed" in done.stdout


def test_another_suite_is_refused(robench, finished, tmp_path):
    (tmp_path / "t.yaml").write_text(SUITE.replace("name: s\n", "name: t\n"))
    assert robench(tmp_path, "run", "t.yaml", "--workers", "1", "--only", "model=popularity").returncode == 0
    done = review(robench, finished / "s.zip", "--sample", "0", "--against", str(tmp_path / "results/t"))
    refused(done, "s.zip", "is of the suite 's'", "is of 't'")


def test_an_incomplete_folder_is_not_submitted(robench, finished, tmp_path):
    here = shutil.copytree(finished / "results/s", tmp_path / "s")
    cell = next((here / "cells").glob("*.json"))
    cell.unlink()
    refused(robench(tmp_path, "submit", "s", *WHO), "s: not submitted", "more problem")
    assert not (tmp_path / "s.zip").exists()


@pytest.mark.parametrize(
    ("licence", "contact", "problem"),
    [
        ("", "a@example.org", "--licence: is missing"),
        ("CC0", "  ", "--contact: is missing"),
        ("CC0", "me", "--contact: neither an e-mail address nor a web page (an e-mail address, or"),
        ("CC0\nx", "a@b", "--licence"),
    ],
)
def test_a_licence_and_a_contact_are_needed(robench, finished, licence, contact, problem):
    refused(robench(finished, "submit", "results/s", "--licence", licence, "--contact", contact), problem)


def test_a_submission_without_a_licence_is_refused(robench, unpacked):
    change_details(unpacked, licence="")
    refused(review(robench, unpacked), "SUBMISSION.json", "licence")
    (unpacked / "SUBMISSION.json").unlink()
    refused(review(robench, unpacked), "no SUBMISSION.json")


def test_details_that_do_not_fit_the_results_are_found(robench, unpacked):
    details = json.loads((unpacked / "SUBMISSION.json").read_text())
    change_details(unpacked, root="0" * 64, hardware=[{**details["hardware"][0], "processor": "fast"}], suite="x")
    done = review(robench, unpacked)
    assert done.returncode == 1
    for problem in ("it names the suite 'x'", "it belongs to other results", "its hardware is not that of the records"):
        assert problem in done.stdout


def add_member(path, name, content=b"x", mode=0o644 | stat.S_IFREG):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
        archive.writestr(info, content)


@pytest.mark.parametrize(
    ("name", "mode", "problem"),
    [
        ("../evil.py", stat.S_IFREG | 0o644, "leaves the folder"),
        ("/tmp/evil.py", stat.S_IFREG | 0o644, "leaves the folder"),
        ("link", stat.S_IFLNK | 0o777, "is a link or a device"),
        ("evil.py", stat.S_IFREG | 0o644, "does not belong to a submission"),
        ("leaderboard.CSV", stat.S_IFREG | 0o644, "occurs twice"),
        ("a" * 256, stat.S_IFREG | 0o644, "has a name that is too long"),
    ],
)
def test_a_hostile_archive_is_refused(robench, finished, tmp_path, name, mode, problem):
    path = shutil.copy(finished / "s.zip", tmp_path / "s.zip")
    add_member(path, name, mode=mode)
    refused(review(robench, tmp_path / "s.zip"), "s.zip", problem)
    assert not (tmp_path.parent / "evil.py").exists()


def test_a_zip_bomb_is_refused(robench, finished, tmp_path):
    path = shutil.copy(finished / "s.zip", tmp_path / "s.zip")
    add_member(path, "bomb", b"\0" * (300 << 20))
    assert path.stat().st_size < 1 << 20
    refused(review(robench, tmp_path / "s.zip"), "s.zip", "which is too much")


def test_a_file_that_is_no_submission_is_refused(robench, tmp_path):
    write_text(tmp_path / "s.txt", "x")
    write_text(tmp_path / "s.zip", "x")
    write_text(tmp_path / "empty.zip", "")
    refused(review(robench, tmp_path / "s.txt"), "not a submission")
    refused(review(robench, tmp_path / "s.zip"), "a damaged archive")
    refused(review(robench, tmp_path / "empty.zip"), "a damaged archive")
    refused(review(robench, tmp_path / "none.zip"), "no such file or folder")


def test_options_that_contradict_each_other_are_refused(robench, finished):
    refused(robench(finished, "verify"), "nothing to verify")
    refused(robench(finished, "verify", "results/s", "--submission", "s.zip"), "not verified together")
    refused(robench(finished, "verify", "results/s", "--format", "md"), "--submission")
    refused(review(robench, finished / "s.zip", "--format", "csv"), "a review is text or md")
