import random
from dataclasses import replace

import pytest
from tools.faults import files, parts, tables
from tools.faults.files import judge

from robench_plugins.datasets.csv_file import CsvFile

CASES = 60


@pytest.mark.parametrize("make", [files.make_case, tables.make_case])
def test_files_in_many_forms_are_read_right_or_refused_in_one_line(tmp_path, make):
    cases = [make(random.Random(f"test/{number}")) for number in range(CASES)]
    problems = {number: judge(case, tmp_path) for number, case in enumerate(cases)}
    assert not {number: problem for number, problem in problems.items() if problem}
    assert 10 < sum(case.damaged for case in cases) < 50


@pytest.mark.parametrize("make", [files.make_case, tables.make_case])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda r: replace(r, users=r.users.codes[:-1]), "other users"),
        (lambda r: replace(r, ratings=None), "other ratings"),
        (lambda r: replace(r, times=None if r.times is None else r.times // 10**12), "other order of times"),
    ],
)
def test_a_reader_that_is_wrong_is_seen(tmp_path, monkeypatch, make, change, problem):
    load = CsvFile.load
    monkeypatch.setattr(CsvFile, "load", lambda self: change(load(self)))
    cases = [make(random.Random(f"test/{number}")) for number in range(CASES)]
    assert problem in {judge(case, tmp_path) for case in cases if not case.damaged}


def test_parts_in_files_of_different_formats_are_read_as_one_log(tmp_path):
    cases = [parts.make_case(random.Random(f"test/{number}")) for number in range(CASES)]
    problems = {number: case.judge(tmp_path) for number, case in enumerate(cases)}
    assert not {number: problem for number, problem in problems.items() if problem}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda r: replace(r, parts=r.parts[::-1]), "other parts"),
        (lambda r: replace(r, catalogue={}), "other item: None"),
        (lambda r: replace(r, profiles={}), "other profiles"),
        (lambda r: replace(r, items=r.items.codes[:-1]), "other items"),
    ],
)
def test_a_reader_of_parts_that_is_wrong_is_seen(tmp_path, monkeypatch, change, problem):
    load = CsvFile.load
    monkeypatch.setattr(CsvFile, "load", lambda self: change(load(self)))
    cases = [parts.make_case(random.Random(f"test/{number}")) for number in range(5)]
    assert any(case.judge(tmp_path).startswith(problem) for case in cases)
