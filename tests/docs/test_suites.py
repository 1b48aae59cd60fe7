"""Tests that all suites in the repository and its documentation can be planned."""

import gzip
import re
from pathlib import Path

import pyarrow.parquet
import pytest
import yaml
from tests.docs.pages import ROOT, blocks, read
from tests.tiny_decoder import tiny_decoder

from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.pretrained import gguf
from robench.run.preview import make_preview
from robench.suite.load import load_suite
from robench.suite.schema import SuiteFile

SUITES = sorted((ROOT / "suites").rglob("*.yaml"))
GUIDE = read("docs/guide/writing-a-suite.md")
OWN_DATA = read("docs/guide/your-own-data.md")
THREATS = read("docs/reference/threat-models.md")


@pytest.fixture(scope="module")
def registry():
    return Registry.of(Host.discover())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Returns the folder of a cache that all suites share.

    Most of the suites use the same data, which are therefore prepared only once.
    """
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture
def planned(prepared, registry, tmp_path, monkeypatch):
    """Returns a function that plans a suite file as ``robench plan`` does.

    Converting a packaged GGUF file takes half a minute, so a tiny decoder replaces the converted model. The tests in
    tests/pretrained cover the conversion.
    """
    monkeypatch.setenv("ROBENCH_CACHE", str(prepared))
    monkeypatch.setattr(gguf, "_convert", lambda library, file, folder: tiny_decoder(folder))

    def planned(path, *changes):
        return make_preview(path, registry, tmp_path / "results", changes, ())

    return planned


def test_there_are_suites():
    assert len(SUITES) > 10


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_suite_of_the_repository_can_be_planned(planned, path):
    plan = planned(path)
    assert sum(row.cells for row in plan.rows) > 0
    for refusal in map(str, plan.refusals):  # only data that may not be redistributed are refused
        assert any(name in refusal for name in ("ml-100k", "amazon-beauty", "amazon-video"))
        assert "no such" in refusal


def test_tuned_suites_have_the_settings_of_their_best_trials(registry):
    suites = [load_suite(path, registry) for path in SUITES if path.name.endswith(".tuned.yaml")]
    assert suites
    for suite in suites:
        assert {*suite.tuning.planned.untuned} == {"popularity"}
        assert len(suite.tuning.planned.chosen) == len(suite.models) - 1


def test_the_suite_with_every_key_is_planned_and_has_them_all(planned, tmp_path):
    (text,) = blocks(read("docs/reference/suite.md"), "yaml")
    keys = set(SuiteFile.model_fields) - {"tuned"}  # a suite with this key needs its file of trials
    assert set(re.findall(r"^(\w+):", text, re.M)) == keys
    (tmp_path / "everything.yaml").write_text(text)
    assert not planned(tmp_path / "everything.yaml").refusals


def test_the_suite_of_the_guide_can_be_planned_at_every_step(planned, tmp_path):
    path, text = tmp_path / "mine.yaml", ""
    cells = []
    for step in blocks(GUIDE, "yaml"):
        text += step
        path.write_text(text)
        plan = planned(path)
        assert not plan.refusals
        cells.append(sum(row.cells for row in plan.rows))
    assert cells[0] < cells[2]
    skipped = re.search(r"^skipped: .*$", GUIDE, re.M)[0]
    assert skipped in plan.skips


def test_a_mistake_is_told_as_in_the_guide(planned, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(blocks(GUIDE, "yaml")[0].replace("factors", "factor"))
    shown = re.search(r"^mine\.yaml:.*(?=\.\.\.$)", GUIDE, re.M)[0]
    with pytest.raises(Exception, match=re.escape(shown)):
        planned(path)


def write_named_formats(folder):
    """Writes MovieLens, Amazon and sequence files under the names in the guide."""
    (folder / "ml-1m").mkdir()
    (folder / "ml-1m" / "ratings.dat").write_text(rows("\n{user}::{item}::4::{time}\n"))
    (folder / "Beauty.txt").write_text(rows("\n{user} {item}\n"))
    review = '\n{{"reviewerID": "{user}", "asin": "{item}", "overall": 4.0, "unixReviewTime": {time}}}\n'
    for name, text in (("Video_Games_5", rows(review)), ("meta_Video_Games", '{"asin": "1", "title": "Heat"}\n')):
        (folder / f"{name}.json.gz").write_bytes(gzip.compress(text.encode()))


@pytest.mark.parametrize("number", range(len(blocks(OWN_DATA, "yaml"))))
def test_data_of_ones_own_are_read_as_the_guide_says(planned, tmp_path, number):
    block = blocks(OWN_DATA, "yaml")[number]
    ratings, items = (text for text in blocks(OWN_DATA, "") if "," in text)
    (tmp_path / "ratings.csv").write_text(ratings.splitlines()[0] + "\n" + rows(",{user},{item},4,{time}\n"))
    (tmp_path / "items.csv").write_text(items)
    atomic = tmp_path / "ml-100k" / "ml-100k.inter"
    atomic.parent.mkdir()
    atomic.write_text("user_id:token\titem_id:token\ttimestamp:float\n" + rows("\t{user}\t{item}\t{time}\n"))
    write_named_formats(tmp_path)
    vectors = {"item": ["heat", "fargo"], "vector": [[0.5, 1.0], [1.0, 0.5]]}
    pyarrow.parquet.write_table(pyarrow.table(vectors), tmp_path / "vectors.parquet")
    model = "content" if "items.csv" in block else "mf"
    (tmp_path / "mine.yaml").write_text(f"name: mine\nmodels: [popularity, {model}]\n{block}")
    assert not planned(tmp_path / "mine.yaml").refusals


@pytest.mark.parametrize(("page", "number"), [("poisoning", 0), ("privacy", 0), ("privacy", 1)])
def test_the_suite_on_a_threat_to_ones_own_data_can_be_planned(planned, tmp_path, page, number):
    texts = blocks(read(f"docs/guide/{page}.md"), "yaml")
    assert len(texts) == (2 if page == "privacy" else 1)
    (tmp_path / "mine.yaml").write_text(texts[number])
    pairs = [f"{user},{item}" for item in range(30) for user in range(20 + item)]
    (tmp_path / "ratings.csv").write_text("\n".join(["user,item", *pairs]))
    (tmp_path / "ml-100k").mkdir()
    atomic = [pair.replace(",", "\t") for pair in pairs]
    (tmp_path / "ml-100k" / "ml-100k.inter").write_text("\n".join(["user_id:token\titem_id:token", *atomic]))
    assert not planned(tmp_path / "mine.yaml").refusals


def rows(pattern):
    """Returns the text of a data file with 20 users and 10 items for each user.

    ``pattern`` is the format of a line. The text includes the rows that the guide shows.
    """
    names = ["heat", "fargo", *(f"item{n}" for n in range(8))]
    return "".join(pattern[1:].format(user=u, item=i, time=t) for u in range(20) for t, i in enumerate(names))


def test_the_suite_of_the_readme_is_planned(planned, tmp_path):
    (text,) = blocks(read("README.md"), "yaml")
    (tmp_path / "mine.yaml").write_text(text)
    pairs = [f"{user},{item}" for item in range(30) for user in range(20 + item)]
    (tmp_path / "ratings.csv").write_text("\n".join(["user,item", *pairs]))
    plan = planned(tmp_path / "mine.yaml")
    assert not plan.refusals
    assert any("mf[factors=32]" in row.label for row in plan.rows)


@pytest.mark.parametrize("number", range(len(blocks(THREATS, "yaml"))))
def test_what_one_types_for_a_threat_model_is_planned(registry, tmp_path, number):
    path = tmp_path / "t.yaml"
    head = "name: t\ndatasets: [{name: synthetic, vector_length: 8}]\nmodels: [popularity, lstm, text-bert, vbpr]\n"
    path.write_text(head + blocks(THREATS, "yaml")[number])
    suite = load_suite(path, registry)
    plan = make_plan(suite, registry)
    attacked = {c.columns()["attack_label"] for c in plan.cells if not c.skip} - {"none"}
    assert attacked == {entry.part.label for entry in suite.attacks}
    assert suite.ranking is None or len(plan.ranking) == len(suite.ranking)


def test_the_smoke_suite_ranks_rows(robench, tmp_path):
    done = robench(tmp_path, "run", str(ROOT / "suites/smoke.yaml"), "--only", "model=mf", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^1 \(1", done.stdout, re.M)) == 2, "the first row of each table of embeddings"
    assert "No row has a rank, so this table says nothing" in done.stdout, "the table of fake users"


def test_paths_in_the_suites_are_those_of_the_repository():
    for path in SUITES:
        for name in re.findall(r"\b(?:docs|tools|suites)/[\w/.-]+\.(?:md|py|yaml)", path.read_text("utf-8")):
            assert Path(ROOT / name).exists(), f"{path.name}: {name}"


def test_random_words_look_as_often_as_the_attacks_that_they_are_compared_with():
    suite = yaml.safe_load(read("suites/generative.yaml"))
    attacks = {attack.get("label", attack["name"]): attack for attack in suite["attacks"]}
    collide, words = attacks["collide"], attacks["90 random words"]
    assert collide["rounds"] * collide["looks"] == words["draws"] == 90
    assert collide["epsilon"] == words["epsilon"]
