"""Tests that index.html has the content of leaderboard.md, and more.

The page escapes text from users and loads no other file.
"""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.docs.pages import ROOT
from tests.fakes import EMBEDDING, POISONING, USERS, World, ranks, twin

from robench.api.errors import UserError
from robench.report import files
from robench.report.blocks import Bullets, Grid, LeaderboardChart, Section, TwinsChart
from robench.report.charts import draw_charts
from robench.report.files import write_tables
from robench.report.numbers import format_defense, format_interval
from robench.report.page import build, to_page
from robench.report.page.guide import DOCS
from robench.report.sections import build_further_sections, build_sections

EVIL = "<script>alert(1)</script><img src=x onerror=y> & \"'"
VOID = {"meta", "br", "img", "link", "input", "hr"}
CELLS = ("td", "th")


class Read(HTMLParser):
    """A parser that collects the parts of a page.

    The parts are the names of elements, texts, links, captions, and labels of marks.
    """

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.labels, self.captions, self.texts = [], [], [], [], [], {}
        self.ids = set()
        self.feed(text)
        self.close()

    def close_implied(self, tags):
        """Closes the cells and rows whose end tags HTML lets a page omit."""
        while self.open and self.open[-1] in tags:
            self.open.pop()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.close_implied({"td": CELLS, "th": CELLS, "tr": (*CELLS, "tr")}.get(tag, ()))
        given = dict(attrs)
        self.ids.add(given.get("id"))
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href", "data")]
        self.captions += [given["aria-labelledby"]] if tag == "figure" else []
        self.labels += [given["aria-label"]] if given.get("aria-roledescription") == "point" else []
        assert not any(name.startswith("on") for name in given), given
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        self.close_implied({"tr": CELLS, "table": (*CELLS, "tr")}.get(tag, ()))
        assert self.open.pop() == tag, "elements are closed in turn"

    def handle_data(self, data):
        for tag in {"th", "td", "li", "h1", "h2", "p", "title", "figcaption"} & set(self.open):
            self.texts[tag][-1] += data


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(20, 99), model="popularity", seed=seed)
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(50, 99), seed=seed, attack="pgd", epsilon=0.05)
        world.cell(ranks(70, 99), seed=seed, attack="pgd", epsilon=0.01)
        world.cell(ranks(140, 99), seed=seed, weight=0.5)
        world.cell(ranks(120, 99), seed=seed, weight=0.5, attack="pgd", epsilon=0.05)
        world.cell(ranks(130, 99), seed=seed, weight=0.5, attack="pgd", epsilon=0.01)
    return world


def plain(text):
    return text.replace("**", "").replace("`", "")


@pytest.mark.usefixtures("undrawn")
def test_every_heading_cell_and_line_of_the_report_is_on_the_page(world):
    tables = world.build()
    read = Read(to_page(tables))
    assert not read.open
    sections = list(build_sections(tables))
    further = list(build_further_sections(tables))
    assert {section.title for section in further} >= {"Along ε"}
    boards = [section.title for section in sections[: len(sections) - len(further)]]
    titles = ["The verdict", *boards, "How to read this", *(section.title for section in further)]
    assert [text.strip() for text in read.texts["h2"]] == [*titles, "Origin, repetition and citation"]
    grids = [block for section in sections for block in section.blocks if isinstance(block, Grid)]
    cells = {text.strip() for text in (*read.texts["th"], *read.texts["td"])}
    assert grids
    for grid in grids:
        assert {*grid.head, *(plain(cell) for row in grid.body for cell in row)} <= cells
    lines = {plain(line) for s in sections for block in s.blocks if isinstance(block, Bullets) for line in block.lines}
    assert lines <= {text.strip() for text in read.texts["li"]}


def test_the_pictures_have_the_values_of_the_tables(world):
    tables = world.build()
    read = Read(to_page(tables))
    along = dict(label.split(": ") for label in read.labels if ", ε = " in label)
    assert {name: value.split()[0] for name, value in along.items()} == {
        "mf, at λ=0.5, ε = 0": ".7000",
        "mf, at λ=0.5, ε = 0.01": ".6500",
        "mf, at λ=0.5, ε = 0.05": ".6000",
        "mf, none, ε = 0": ".7500",
        "mf, none, ε = 0.01": ".3500",
        "mf, none, ε = 0.05": ".2500",
    }
    for row in tables.rows():
        if row.worst is not None:
            name = f"{row.key.model_label}, {format_defense(row.key)}"
            assert along[f"{name}, ε = 0.05"] == format_interval(row.worst_interval)
            assert along[f"{name}, ε = 0"] == format_interval(row.clean_interval)


def test_marks_stand_where_their_values_are(world):
    (section,) = (section for section in build_sections(world.build()) if isinstance(section.chart, LeaderboardChart))
    ((_, svg),) = draw_charts(section)
    found = {}
    for part in ElementTree.fromstring(svg).iter():
        if part.get("aria-roledescription") == "point":
            who, _, value = part.get("aria-label").partition(": ")
            found[who] = float(value.split()[0]), *map(float, re.findall(r"[-\d.]+", part.get("transform")))
    values, across, down = (np.array(column) for column in zip(*found.values(), strict=True))
    slope, start = np.polyfit(values, across, 1)
    assert slope > 0
    np.testing.assert_allclose(across, start + slope * values, atol=0.01)
    assert (np.diff(down) > 0).all(), "in the order of the table, clean above attacked"


def test_nothing_that_a_user_wrote_becomes_markup(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    plain_tags = Read(to_page(world_of(world, "mf", "pgd", "luck"))).tags
    world = World(tmp_path / "v", [EMBEDDING])
    tables = world_of(world, EVIL, EVIL, EVIL, EVIL)
    text = to_page(replace(tables, suite=EVIL))
    read = Read(text)
    assert any(EVIL in title for title in read.texts["h2"])
    assert any(EVIL in line for line in read.texts["li"][: len(read.texts["h2"]) + 1]), "in the contents"
    assert read.captions
    assert {*read.captions} <= read.ids, "each figure has a name"
    assert read.texts["h1"] == [EVIL]
    assert EVIL in read.texts["title"][0]
    assert read.tags == plain_tags
    assert text.count("<script") == read.tags.count("script") == 1, "the page's own"
    assert any(EVIL in cell for cell in read.texts["td"])
    assert any(EVIL in label for label in read.labels), "in a picture too"
    assert any(EVIL in line for line in read.texts["li"]), "an error's message"


def world_of(world, model, attack, error, dataset="d"):
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed, model=model)
        world.cell(ranks(50, 99), seed=seed, model=model, attack=attack, epsilon=0.05)
        world.cell(ranks(70, 99), seed=seed, model=model, attack=attack, epsilon=0.01)
    told = {"type": "RuntimeError", "message": error, "traceback": "..."}
    world.cell([], model=model, attack="other", epsilon=0.05, status="failed", error=told)
    for columns in world.cells:
        columns["dataset"] = dataset
    return world.build()


def test_the_page_loads_nothing_and_its_links_are_files_beside_it(world):
    tables = world.build()
    write_tables(tables, world.store.folder)
    (world.store.folder / "suite.yaml").write_text("")  # a run leaves this file
    text = (world.store.folder / "index.html").read_text()
    read = Read(text)
    assert "url(" not in text
    assert "@import" not in text
    assert DOCS in text
    for link in read.links:
        if link.startswith("#"):
            assert link[1:] in read.ids, link
        elif link.startswith(DOCS):
            page, _, anchor = link.removeprefix(DOCS).partition("#")
            text = (ROOT / "docs" / page[1:]).read_text("utf-8")
            heads = [re.sub(r"[^\w -]", "", head).lower() for head in re.findall(r"^#+ (.*)$", text, re.M)]
            assert not anchor or anchor in [head.replace(" ", "-") for head in heads], link
        else:
            assert (world.store.folder / link).is_file(), link


def test_the_tables_are_safe_before_the_page_is_drawn_and_a_file_that_cannot_be_written_is_named(world, monkeypatch):
    folder = world.store.folder
    tables = world.build()
    (folder / "index.html" / "theirs").mkdir(parents=True)
    with pytest.raises(UserError, match="a folder, where a file belongs") as caught:
        write_tables(tables, folder)
    assert str(folder / "index.html") in str(caught.value)
    (folder / "index.html" / "theirs").rmdir()
    (folder / "index.html").rmdir()
    for name in (names := ("leaderboard.md", "leaderboard.csv", "leaderboard.json", "cells.csv", "timings.csv")):
        (folder / name).unlink()
    monkeypatch.setattr(files, "to_page", lambda tables: pytest.fail("the picture took the process along"))
    with pytest.raises(pytest.fail.Exception):
        write_tables(tables, folder)
    assert all((folder / name).is_file() for name in names)


def test_control_characters_do_not_take_the_process_along(tmp_path):
    text = to_page(world_of(World(tmp_path / "w", [EMBEDDING]), "m\0f\a", "pg\x1bd", "luck"))
    assert "m‹U+0000›f‹U+0007›" in text


def test_where_there_are_several_data_sets_every_row_says_which_is_its(tmp_path):
    world = World(tmp_path / "w", [])
    for dataset in ("one", "two"):
        world.cell(ranks(50, 99), dataset=dataset)
        world.cell(ranks(20, 99), dataset=dataset, attack="pgd", epsilon=0.05)
        arrays = {"radius": np.full(USERS, 0.1)}
        world.cell(ranks(50, 99), dataset=dataset, attack="cw", epsilon=0.05, arrays=arrays)
    found = {section.title: section.blocks for section in build_sections(world.build())}
    for title in ("Along ε", "Radius of hit users"):
        (grid,) = (block for block in found[title] if isinstance(block, Grid))
        assert grid.head[:2] == ["data", "model"]
        assert {row[0] for row in grid.body} == {"one", "two"}
    (single,) = (
        block
        for section in build_sections(one_data_set(tmp_path))
        if section.title == "Along ε"
        for block in section.blocks
        if isinstance(block, Grid)
    )
    assert single.head[0] == "model"


def one_data_set(tmp_path):
    world = World(tmp_path / "v", [])
    world.cell(ranks(50, 99))
    world.cell(ranks(20, 99), attack="pgd", epsilon=0.05)
    return world.build()


@pytest.mark.usefixtures("undrawn")
def test_a_column_of_numbers_stands_right_and_no_other(world):
    text = to_page(world.build())
    table = text[text.index('<table id="board-1-t"') :]
    heads = re.findall(r"<th scope=\"col\" data-k=[^>]*?( class=\"n\")?>([^<]*)", table[: table.index("</thead>")])
    assert {name for right, name in heads if right} == {
        "rank",
        "clean ndcg@10",
        "worst case",
        "drop",
        "p",
        "users hit@10",
    }
    grid = Grid(["a", "b", "c"], [["3 factors", ".1", "–"], ["57 random words", "2e+03", "4 (1–3)"]])
    assert build._numeric(grid) == [False, True, True]
    assert build._numeric(Grid(["a"], [])) == [False]


def test_pictures_are_xml_without_ids_that_could_clash(world):
    for section in build_sections(world.build()):
        for _, svg in draw_charts(section):
            tree = ElementTree.fromstring(svg)
            assert not [part for part in tree.iter() if "id" in part.attrib]


def test_a_table_of_one_popularity_alone_and_a_suite_of_nothing_are_pages_too(tmp_path):
    world = World(tmp_path / "w", [POISONING])
    world.metrics = ["ndcg@10"]
    world.ranking = []
    world.cell([1] * USERS, model="popularity")
    assert "clean values" in to_page(world.build())
    empty = World(tmp_path / "v", [])
    read = Read(to_page(empty.build()))
    assert read.texts["h1"] == ["w"]
    assert read.texts["h2"] == ["The verdict", "How to read this", "Origin, repetition and citation"]


def test_twins_are_drawn_from_clean_to_attacked_metric_by_metric():
    rows = [twin("at", "like-f1", 0.7, 0.3, 0.6, 0.5), twin("other", "like-f1", 0.7, 0.3, 0.65, 0.2)]
    rows.append(twin("at", "accuracy", 0.8, 0.4, 0.75, 0.55))
    ((caption, svg),) = draw_charts(Section("Twins", [], TwinsChart(rows)))
    assert caption == "d, s, embedding, l2: fgsm at ε = 0.05. Every axis has its own range."
    labels = Read(svg).labels
    assert sorted(labels) == sorted(
        f"lstm, {who}, {metric}, {what}: {value}"
        for metric, who, clean, attacked in (
            ("like-f1", "none", ".7000", ".3000"),
            ("like-f1", "at λ=0.5", ".6000", ".5000"),
            ("like-f1", "other λ=0.5", ".6500", ".2000"),
            ("accuracy", "none", ".8000", ".4000"),
            ("accuracy", "at λ=0.5", ".7500", ".5500"),
        )
        for what, value in (("clean", clean), ("attacked", attacked))
    )
    assert svg.index(">like-f1<") < svg.index(">accuracy<"), "metrics in the order of the suite"
