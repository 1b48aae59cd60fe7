"""Tests ``robench leaderboard --site``, and what this command refuses."""

import json
import re
import shutil
from functools import partial

import numpy as np
import pytest
from tests.docs.pages import ROOT
from tests.run.inline import SMALL, run
from tools.site.links import find_problems, read_links

from robench.api.errors import UserError
from robench.entrance.site import build_site
from robench.entrance.tables import rebuild_tables
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report import files
from robench.report.page import to_page
from robench.store.archive import Archive
from robench.store.npz import arrays_from_bytes, arrays_to_bytes
from robench.store.seal import seal

SUITE = f"name: NAME\nseeds: [0]\nmodels: [popularity]\n{SMALL}"
COMMITTED = sorted(path.parent for path in (ROOT / "results").glob("*/plan.json"))
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def registry():
    return Registry.of(Host.discover())


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Leaves out the pictures, which take most of the time of a page."""
    monkeypatch.setattr(files, "to_page", partial(to_page, drawn=False))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Returns the results folder of a finished run."""
    place = tmp_path_factory.mktemp("finished")
    (place / "s.yaml").write_text(SUITE.replace("NAME", "small"))
    return run(place / "s.yaml").store.folder


@pytest.fixture
def copy(finished, tmp_path):
    """Returns a function that copies the results with a changed plan."""

    def make(name, **changed):
        folder = shutil.copytree(finished, tmp_path / name)
        if changed:
            plan = json.loads((folder / "plan.json").read_text("utf-8"))
            (folder / "plan.json").write_text(json.dumps(seal(plan | changed)), "utf-8")
        return folder

    return make


def make(folders, out, registry, docs=None):
    said = []
    return build_site(folders, out, registry, docs, said.append)


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def committed(tmp_path_factory, registry):
    """Returns the site of all committed results, its folder, and the files before."""
    out = tmp_path_factory.mktemp("committed") / "site"
    before = {folder: content(folder) for folder in COMMITTED}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "to_page", partial(to_page, drawn=False))
        site = make(COMMITTED, out, registry)
    return site, out, before


def test_the_site_of_all_committed_results(committed):
    site, out, before = committed
    assert {folder: content(folder) for folder in COMMITTED} == before
    assert [path.name for path in out.parent.iterdir()] == ["site"]
    assert find_problems(out) == []
    days = {
        one.name: max(re.findall(rb'"date": ?"(.*?)"', before[one]["records.jsonl"]), default=b"") for one in COMMITTED
    }
    newest = sorted(sorted(days), key=lambda name: days[name], reverse=True)  # older records state no day
    assert [card.suite for card in site.cards] == newest
    cards = {card.suite: card for card in site.cards}
    start = (out / "index.html").read_text("utf-8")
    assert read_links(out / "index.html").loads == []
    for folder, card in ((folder, cards[folder.name]) for folder in COMMITTED):
        assert f'href="boards/{folder.name}/index.html"' in start
        assert card.root == Archive(out / "boards" / folder.name).manifest["root"]
        assert card.root in start
        assert card.cells == before[folder]["records.jsonl"].count(b"\n")
    whitebox = cards["whitebox"]
    rows = json.loads(before[ROOT / "results" / "whitebox"]["leaderboard.json"])["tables"]
    count, ranked = (
        sum(len(table["rows"]) for table in rows),
        sum(row["rank"] is not None for table in rows for row in table["rows"]),
    )
    assert f"{count} rows in 2 tables, {ranked} with a rank" in whitebox.rows
    table = json.loads(before[ROOT / "results" / "history"]["leaderboard.json"])["tables"][0]
    best = next(row for row in table["rows"] if row["rank"] == 1)
    assert cards["history"].headlines[0][1].startswith(f"Best by worst case: {best['model']}, ")
    assert json.loads((out / "site.json").read_text("utf-8"))["boards"][0]["suite"] == newest[0]


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_every_committed_table_is_recomputed_from_the_cells_byte_for_byte(committed, folder):
    """The new page lacks its pictures, and its manifest therefore differs."""
    _, out, before = committed
    board = content(out / "boards" / folder.name)
    names = {"cells.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.md", "timings.csv", "index.html"}
    assert names <= before[folder].keys()
    for name in before[folder].keys() - {"index.html", "MANIFEST.json"}:
        assert board[name] == before[folder][name], f"{name}: robench leaderboard results/{folder.name}"
    # The tests in a browser open the committed pages, so these must be the pages of the present code.
    page = re.sub(r"<figure aria-labelledby=.*?</figure>\n", "", before[folder]["index.html"].decode(), flags=re.S)
    undrawn = re.sub(r"<p>The pictures could not be drawn.*\n", "", board["index.html"].decode())
    assert page.splitlines() == undrawn.splitlines(), f"index.html: robench leaderboard results/{folder.name}"


def test_newer_boards_come_first(tmp_path, registry, finished, copy):
    other = copy("other", suite="aaa")
    for record in (other / "cells").glob("*.json"):
        plain = json.loads(record.read_text("utf-8"))
        plain["provenance"]["date"] = "2020-01-01"
        record.write_text(json.dumps(seal(plain)), "utf-8")
    site = make([other, finished], tmp_path / "site", registry)
    assert [card.suite for card in site.cards] == ["small", "aaa"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", site.cards[0].date)
    start = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert start.index("boards/small/") < start.index("2020-01-01")


def test_the_board_of_a_folder_of_cells_is_packed(tmp_path, registry, finished, copy):
    before, other = content(finished), copy("other")
    rebuild_tables(other, registry)
    make([finished], tmp_path / "site", registry)
    board = tmp_path / "site" / "boards" / "small"
    assert {path.name for path in board.iterdir()} >= {"records.jsonl", "arrays.npz", "MANIFEST.json", "index.html"}
    assert (board / "leaderboard.md").read_bytes() == (other / "leaderboard.md").read_bytes()
    assert content(finished) == before


def test_hostile_names_are_text(tmp_path, registry, copy):
    folder = copy("hostile", suite=f"../{HOSTILE}\x1b[31m")
    make([folder], tmp_path / "site", registry)
    assert [path.name for path in (tmp_path / "site" / "boards").iterdir()] == ["script-alert-1-script-31m"]
    for page in (tmp_path / "site" / "index.html", *(tmp_path / "site" / "boards").rglob("*.html")):
        text = page.read_text("utf-8")
        assert HOSTILE not in text
        assert "&lt;script&gt;alert(1)" in text
        assert "\x1b" not in text
    assert find_problems(tmp_path / "site") == []


def test_two_boards_of_one_name_are_both_there(tmp_path, registry, finished, copy):
    other = copy("other", seeds=[0, 1])
    site = make([finished, other], tmp_path / "site", registry)
    names = {path.name for path in (tmp_path / "site" / "boards").iterdir()}
    assert names == {card.folder for card in site.cards}
    assert len(names) == 2
    for card in site.cards:
        assert card.folder == f"small-{card.root[:8]}"
        assert Archive(tmp_path / "site" / "boards" / card.folder).manifest["root"] == card.root


def test_the_same_board_twice_is_refused(tmp_path, registry, finished, copy):
    with pytest.raises(UserError, match="the same board as"):
        make([finished, copy("again")], tmp_path / "site", registry)
    assert not (tmp_path / "site").exists()


def damage_record(folder):
    path = next((folder / "cells").glob("*.json"))
    path.write_text(path.read_text("utf-8").replace('"ok"', '"failed"'), "utf-8")


def damage_arrays(folder):
    path = next((folder / "cells").glob("*.npz"))
    path.write_bytes(path.read_bytes()[:-1])


def change_users(folder):
    """Changes the order of the titles.

    The file stays sound, and only its hash differs from that in the plan.
    """
    path = folder / "users.npz"
    arrays = arrays_from_bytes(path.read_bytes(), str(path))
    (name,) = (name for name in arrays if name.endswith("/title"))
    path.write_bytes(arrays_to_bytes({**arrays, name: np.roll(arrays[name], 1)}))


@pytest.mark.parametrize(
    "damage",
    [
        damage_record,
        damage_arrays,
        change_users,
        lambda folder: (folder / "plan.json").unlink(),
        lambda folder: (folder / "suite.yaml").unlink(),
        lambda folder: (folder / "users.npz").write_bytes(b"PK"),
    ],
)
def test_a_damaged_folder_is_named_and_the_earlier_site_stays(tmp_path, registry, finished, copy, damage):
    out = tmp_path / "site"
    make([finished], out, registry)
    before = content(out)
    bad = copy("bad", suite="bad")
    damage(bad)
    with pytest.raises(UserError) as error:
        make([finished, bad], out, registry)
    assert str(error.value).startswith(str(bad))
    assert "\n" not in str(error.value)
    assert content(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "site"]


def test_the_command_names_a_damaged_folder_in_one_line(tmp_path, finished, copy, robench):
    damage_record(copy("bad"))
    done = robench(tmp_path, "leaderboard", str(finished), "bad", "--site", "site")
    assert done.returncode == 2
    board, other, line = done.stderr.splitlines()
    assert (board, other) == (f"board: {finished}", "board: bad")
    assert line.startswith("bad/cells/")
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


def test_a_new_site_replaces_the_earlier_one(tmp_path, registry, finished, copy):
    make([copy("old", suite="old")], tmp_path / "site", registry)
    make([finished], tmp_path / "site", registry)
    assert [path.name for path in (tmp_path / "site" / "boards").iterdir()] == ["small"]


def test_other_files_are_not_replaced(tmp_path, registry, finished):
    (tmp_path / "mine").mkdir()
    for name in ("thesis.tex", "index.html"):
        (tmp_path / "mine" / name).write_text("mine")
    with pytest.raises(UserError, match="files that are not a site"):
        make([finished], tmp_path / "mine", registry)
    with pytest.raises(UserError, match="which is read"):
        make([finished], finished / "site", registry)
    assert content(tmp_path / "mine") == {"index.html": b"mine", "thesis.tex": b"mine"}


def test_the_documentation_is_copied_and_linked(tmp_path, registry, finished):
    docs = tmp_path / "docs"
    for name in ("index.html", "guide/reading-a-leaderboard.html", "guide/first-run.html", "reference/defences.html"):
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        (docs / name).write_text("<p>page</p>")
    make([finished], tmp_path / "site", registry, docs)
    pages = content(tmp_path / "site" / "docs")
    assert {name: pages[name] for name in content(docs)} == content(docs)
    assert b'href="../reading-a-leaderboard.html"' in pages["guide/reading-a-leaderboard.md/index.html"]
    assert b"without the documentation" in pages["reference/results.md/index.html"]
    assert 'href="docs/index.html"' in (tmp_path / "site" / "index.html").read_text("utf-8")
    assert find_problems(tmp_path / "site") == []
    with pytest.raises(UserError, match=r"no built documentation: index.html is missing \(run mkdocs build\)"):
        make([finished], tmp_path / "site", registry, docs / "guide")


def test_several_folders_and_docs_need_a_site(robench, finished):
    for arguments in ((finished.name, finished.name), (finished.name, "--docs", finished.name)):
        done = robench(finished.parent, "leaderboard", *arguments)
        assert done.returncode == 2
        assert "needs --site (give --site OUT)" in done.stderr
