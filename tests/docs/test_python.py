"""Tests that the code of docs/python.md prints what the page shows."""

import re

import pytest
from tests.docs.pages import ROOT, blocks, read

from robench.entrance.results import ResultFrames
from robench_plugins.executors.local import Local

PAGE = read("docs/python.md")
STEPS = re.findall(r"^```python\n(.*?)^```\n\n```\n(.*?)^```", PAGE, re.M | re.S)


class Here(Local):
    """An executor that runs tasks in the test's process.

    The test therefore starts no worker, which would take time.
    """

    def run(self, tasks, work, emit):
        for task in tasks:
            work(task, emit)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """Returns the folder in which the code of the page is executed.

    The folder holds the committed results that the page reads, and the suites that the page shows.
    """
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "results").mkdir()
    (folder / "results" / "article").symlink_to(ROOT / "results" / "article")
    for name, text in zip(("tiny.yaml", "frames.yaml"), blocks(PAGE, "yaml"), strict=True):
        (folder / name).write_text(text, "utf-8")
    return folder


@pytest.mark.usefixtures("undrawn")
def test_every_step_prints_what_the_page_shows(notebook, monkeypatch, capsys):
    monkeypatch.chdir(notebook)
    monkeypatch.setattr(Local, "run", Here.run)
    assert len(STEPS) == len(blocks(PAGE, "python"))
    names = {}
    for code, shown in STEPS:
        capsys.readouterr()
        exec(compile(code, "docs/python.md", "exec"), names)
        printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
        assert printed == shown.splitlines(), code
    told = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (\w+) \|", PAGE, re.M)
    for columns, dtype in told:
        for name in re.findall(r"`(\w+)`", columns):
            assert str(names["before"].dtypes.get(name, dtype)) == dtype, name
            assert name in names["before"] or f"``{name}``" in ResultFrames.users.__doc__, name
