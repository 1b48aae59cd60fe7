"""Tests that the commands on the pages print what the pages show."""

import pytest
from tests.docs.pages import PAGES, ROOT
from tools.site.outputs import WIDTH, execute, matches, prepare, read_steps, renew

SHOWN = [page for page in PAGES if read_steps(page.read_text("utf-8"))]


@pytest.mark.parametrize("page", SHOWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_print_what_a_page_shows(page, tmp_path, robench):
    text = page.read_text("utf-8")
    prepare(text, tmp_path)

    def run(folder, arguments):
        done = robench(folder, *arguments, COLUMNS=WIDTH, ROBENCH_CACHE=str(tmp_path / "cache"))
        assert done.returncode == 0, done.stderr
        return done.stdout

    for block in read_steps(text):
        for step in block:
            printed = execute(step.command, tmp_path, run)
            assert matches(step.shown, printed), "\n".join([step.command, *printed])


def test_some_pages_show_outputs():
    assert len(SHOWN) > 1


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (("a", "b"), ["a", "b"], True),
        (("a", "b"), ["a", "c"], False),
        (("took … s",), ["took 1.2 s"], True),
        (("took … s",), ["took 1.2 min"], False),
        (("a", "…", "d"), ["a", "b", "c", "d"], True),
        (("a", "…", "d"), ["a", "d"], True),
        (("a", "…"), ["a", "b", "c"], True),
        (("a", "…", "d"), ["a", "b"], False),
        ((".",), ["x"], False),
    ],
)
def test_marks_stand_for_any_text(shown, printed, same):
    assert matches(shown, printed) is same


def test_only_outputs_that_differ_are_renewed():
    page = "`a.yaml`:\n\n```yaml\nname: a\n```\n\n```console\n$ robench one\nit took …\n$ robench two\nold\n```\n"

    def run(folder, arguments):
        assert (folder / "a.yaml").read_text() == "name: a\n"
        return {"one": "it took 3 s\n", "two": "new  \nlines\n"}[arguments[0]]

    assert renew(page, run) == page.replace("old", "new\nlines")
    with pytest.raises(ValueError, match="only commands of robench"):
        renew("```console\n$ rm -r x\n```\n", run)
