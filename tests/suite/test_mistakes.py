"""Tests the output for a wrong suite: one line per mistake.

Each line has a place and a hint. The exit code is 2, and nothing is written.
"""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from robench.api.errors import UserError
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.suite.load import load_suite
from robench.suite.messages import describe_error

GOOD = "name: t\ndatasets:\n  - {name: synthetic}\nmodels:\n  - {name: mf}\n"
DEFENSE = "defenses:\n  - {name: adversarial-training, "
CSV = GOOD.replace("synthetic", "csv, path: r.csv, ...")
SEGMENT = "attacks: [{{name: segment, epsilon: 0.1, knowledge: {{{}}}}}]\n"
FAKES = "attacks: [{{name: bandwagon, epsilon: 0.1, knowledge: {{{}}}}}]\n"
CASES = [
    (
        "wrong file",
        CSV.replace("...", "separator: {pth: '|'}"),
        3,
        "datasets[0].separator.pth: must be 'path', 'items'",
        "",
    ),
    ("no text", CSV.replace("...", "encoding: {items: 3}"), 3, "datasets[0].encoding.items: must be text, got 3", ""),
    ("text or mapping", CSV.replace("...", "separator: 3"), 3, "datasets[0].separator: must be text, got 3", ""),
    (
        "no effect",
        CSV.replace("...", "title: name"),
        3,
        "datasets[0].title: title describes the file items",
        "items: FILE",
    ),
    ("unknown key", GOOD + "modells: []\n", 6, "unknown key 'modells'", "did you mean 'models'"),
    ("unknown setting", GOOD.replace("{name: mf}", "{name: mf, factor: 3}"), 5, "unknown key 'factor'", "'factors'"),
    ("wrong type", GOOD.replace("{name: mf}", "{name: mf, factors: many}"), 5, "models[0].factors", "'many'"),
    ("unknown plugin", GOOD.replace("name: mf", "name: lstmm"), 5, "unknown model 'lstmm'", "did you mean 'lstm'"),
    ("duplicate key", GOOD + "name: u\n", 6, "duplicate key 'name'", "above"),
    ("lambda 1.5", GOOD + DEFENSE + "lambda: 1.5}\n", 7, "defenses[0].lambda", "less than or equal to 1"),
    ("lambda in a grid", GOOD + DEFENSE + "lambda: [0.5, 1.5]}\n", 7, "defenses[0].lambda", "1.5"),
    ("epsilon -1", GOOD + "attacks:\n  - {name: pgd, epsilon: -1}\n", 7, "attacks[0].epsilon", "at least 0"),
    ("no epsilon", GOOD + "attacks:\n  - {name: pgd}\n", 7, "attacks[0]", "epsilon"),
    ("defence epsilon", GOOD + DEFENSE + "epsilon: -1}\n", 7, "defenses[0].epsilon", "greater than or equal to 0"),
    ("empty models", "name: t\ndatasets: [{name: synthetic}]\nmodels: []\n", 3, "models", "empty"),
    ("no models", "name: t\ndatasets: [{name: synthetic}]\n", 1, "missing key 'models'", ""),
    ("empty grid", GOOD.replace("{name: mf}", "{name: mf, grid: {factors: []}}"), 5, "grid is empty", "grid.factors"),
    ("empty epsilon", GOOD + "attacks: [{name: pgd, epsilon: []}]\n", 6, "grid is empty", "epsilon"),
    ("same twice", GOOD + "  - {name: mf}\n", 6, "the same as models[0]", "remove"),
    ("a list", "- name: t\n", 1, "a list, not a mapping", "datasets"),
    ("empty file", "", 1, "empty", "name:"),
    ("bad split", GOOD + "split: {name: leave-last}\n", 6, "unknown split", "leave-last-out"),
    ("bad metric", GOOD + "metrics: [ndgc@10]\n", 6, "unknown metric 'ndgc'", "did you mean 'ndcg'"),
    ("metric without k", GOOD + "metrics: [ndcg]\n", 6, "needs its k", "ndcg@10"),
    ("seed twice", GOOD + "seeds: [1, 1]\n", 6, "seeds: seed 1 is named twice", ""),
    ("negative seed", GOOD + "seeds: [-1]\n", 6, "seeds[0]", "greater than or equal to 0"),
    ("bad name", GOOD.replace("name: t", "name: ../x"), 1, "name: must be small letters", "'../x'"),
    ("long name", GOOD.replace("name: t", f"name: {'x' * 101}"), 1, "name: must be at most 100 characters", "xxx"),
    ("hidden name", GOOD.replace("name: t", "name: .t"), 1, "name: must be small letters", "'.t'"),
    ("reserved name", GOOD.replace("name: t", "name: com1.txt"), 1, "a name that Windows allows", "'com1.txt'"),
    ("NUL in a name", GOOD.replace("name: t", 'name: "t\\0"'), 1, "name: must be small letters", ""),
    ("bad device", GOOD + "device: gpu\n", 6, "device: must be auto, cpu, cuda or cuda:N", "'gpu'"),
    (
        "word for a count",
        GOOD.replace("{name: mf}", "{name: mf, factors: many}"),
        5,
        "must be a whole number",
        "'many'",
    ),
    (
        "list for a count",
        GOOD.replace("{name: mf}", "{name: mf, factors: [8, 16]}"),
        5,
        "models[0].factors: must be a whole number, got a list",
        "(for an entry per value, write grid: {factors: [...]})",
    ),
    ("list for a name", GOOD.replace("name: t", "name: [t]"), 1, "name: must be text, got a list", "got a list"),
    ("list for a label", GOOD.replace("{name: mf}", "{name: mf, label: [a]}"), 5, "a label must be text", "blank"),
    ("list for a mapping", GOOD + "limits: [3]\n", 6, "limits: must be a mapping, got a list", ""),
    ("one seed", GOOD + "seeds: 0\n", 6, "seeds: must be a list, got 0", "(write [0])"),
    ("half a count", GOOD.replace("{name: mf}", "{name: mf, factors: 2.5}"), 5, "must be a whole number", "2.5"),
    ("word for a number", GOOD.replace("{name: mf}", "{name: mf, learning_rate: x}"), 5, "must be a number", "'x'"),
    (
        "list for a number",
        GOOD.replace("{name: mf}", "{name: mf, learning_rate: [1]}"),
        5,
        "models[0].learning_rate: must be a number",
        "",
    ),
    ("seeds no list", GOOD + "seeds: 3\n", 6, "seeds: must be a list", "3"),
    ("targets no mapping", GOOD + "targets: 3\n", 6, "targets: must be a mapping", "3"),
    ("metric no text", GOOD + "metrics: [3]\n", 6, "metrics[0]: must be text", "3"),
    (
        "two ratios",
        GOOD + "split: {name: random-ratio, ratios: [8, 2]}\n",
        6,
        "three numbers, training : validation",
        "",
    ),
    ("word for a ratio", GOOD + "split: {name: random-ratio, ratios: [8, 1, x]}\n", 6, "must be a number", "'x'"),
    (
        "not in a choice",
        GOOD + "targets: {pick: rare}\n",
        6,
        "must be 'unpopular', 'popular', 'lower-torso', 'all', 'random' or 'listed'",
        "'rare'",
    ),
    ("items and a pick", GOOD + "targets: {items: [3], pick: all}\n", 6, "pick does not go with items", ""),
    ("an item twice", GOOD + "targets: {items: [3, '3']}\n", 6, "items lists an item twice", ""),
    ("no items", GOOD + "targets: {pick: listed}\n", 6, "pick: listed needs items", ""),
    (
        "heads",
        GOOD.replace("{name: mf}", "{name: bert4rec, dim: 30, heads: 4}"),
        5,
        "models[0].heads: dim 30",
        "4 heads",
    ),
    (
        "noise of pgd",
        GOOD + DEFENSE + "inner: pgd, noise: 2}\n",
        7,
        "defenses[0].noise: noise belongs to inner fgsm",
        "write inner: fgsm",
    ),
    ("misspelt value", GOOD.replace("mf}", "mf, loss: bprr}"), 5, "models[0].loss: must be", "did you mean 'bpr'?"),
    ("knowledge", GOOD + FAKES.format("data: 2"), 6, "attacks[0].knowledge.data: must be less than or equal to 1", "2"),
    ("a key of knowledge", GOOD + FAKES.format("date: 0.2"), 6, "unknown key 'date'", ""),
    ("a model of no use", GOOD + FAKES.format("model: victim"), 6, "{model: victim} does nothing", "evade: true"),
    ("a model that it may not know", GOOD + SEGMENT.format("model: victim"), 6, "must be 'none'", "'victim'"),
    ("several seeds", GOOD + "seeds: 3\n", 6, "seeds: must be a list, got 3", "(write [3], or [0, 1, 2] for 3 seeds)"),
    (
        "a norm in capitals",
        GOOD + "attacks: [{name: pgd, epsilon: 1, norm: L2}]\n",
        6,
        "got 'L2'",
        "did you mean 'l2'?",
    ),
    ("a choice in capitals", GOOD + DEFENSE + "inner: PGD}\n", 7, "got 'PGD'", "did you mean 'pgd'?"),
    ("a pattern in capitals", GOOD + "device: CPU\n", 6, "got 'CPU'", "did you mean 'cpu'?"),
    ("a quoted ε", GOOD + "attacks: [{name: pgd, epsilon: '0.05'}]\n", 6, "'0.05'", "(without quotes: write 0.05)"),
    ("ε in percent", GOOD + "attacks: [{name: pgd, epsilon: 5%}]\n", 6, "'5%'", "a percentage: write 0.05)"),
    ("a decimal comma in ε", GOOD + "attacks: [{name: pgd, epsilon: '0,05'}]\n", 6, "'0,05'", "comma: write 0.05)"),
    ("thousands", GOOD + "attacks: [{name: pgd, epsilon: '1.234,5'}]\n", 6, "'1.234,5'", "write 1234.5)"),
    ("a decimal comma in λ", GOOD + DEFENSE + "lambda: '0,5'}\n", 7, "'0,5'", "not a comma: write 0.5)"),
    ("a quoted count", GOOD + "threads: '2'\n", 6, "got '2'", "(without quotes: write 2)"),
    ("a count with a comma", GOOD + "users: {sample: '1,000'}\n", 6, "got '1,000'", "write 1000 or 1.000)"),
    (
        "numbers cut by commas",
        GOOD + "attacks: [{name: pgd, epsilon: [0,5, 0,1]}]\n",
        6,
        "0 twice",
        "write [0.5, 0.1]?",
    ),
    (
        "ratios cut by commas",
        GOOD + "split: {name: random-ratio, ratios: [0,8, 0,1, 0,1]}\n",
        6,
        "three numbers",
        "write [0.8, 0.1, 0.1]?",
    ),
    (
        "an id of digits",
        GOOD + "targets: {items: [007]}\n",
        6,
        "targets.items[0]: the number 007",
        "'007' if it is text",
    ),
    ("sasrec heads", GOOD.replace("mf}", "sasrec, dim: 30, heads: 4}"), 5, "models[0].heads: dim 30", "4 heads"),
]


@pytest.fixture
def registry():
    return Registry.of(Host.discover())


@pytest.mark.parametrize(("text", "line", "problem", "hint"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_one_line_with_place_and_hint(tmp_path, registry, text, line, problem, hint):
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_suite(path, registry)
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    assert f"t.yaml:{line}:" in message
    assert problem in message
    assert hint in message


def test_ratios_need_no_sum(tmp_path, registry):
    path = tmp_path / "t.yaml"
    for text in ("[0.8, 0.3, 0.1]", "[8, 1, 1]", "[80, 10, 10]"):
        path.write_text(GOOD + f"split: {{name: random-ratio, ratios: {text}}}\n")
        assert len(load_suite(path, registry).split.config["ratios"]) == 3


def test_no_phrase_of_pydantic_reaches_a_user():
    class Inner(BaseModel):
        n: int

    class Every(BaseModel):
        whole: int
        number: float
        truth: bool
        text: Annotated[str, Field(min_length=1)]
        where: Path
        rows: Annotated[list[int], Field(min_length=2, max_length=3)]
        pair: tuple[int, int]
        names: dict[str, int]
        inner: Inner
        choice: Literal["a", "b"]
        share: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]

    wrong = ("x", 1.5, None, [], [1, 2, 3, 4], {"a": "b"}, "", 10**400, float("inf"), "9" * 5000, -1)
    for value in wrong:
        with pytest.raises(ValidationError) as caught:
            Every.model_validate(dict.fromkeys(Every.model_fields, value))
        for detail in caught.value.errors():
            if detail["type"] != "missing":
                text = describe_error(detail)
                for phrase in ("nput should", "alid", "parse", "convert", "instance", "dictionary", "ield required"):
                    assert phrase not in text, text


@pytest.mark.parametrize(
    ("entry", "place", "problem", "hint"),
    [
        ("pgd, norm: l22", "norm", "must be 'l2' or 'linf', got 'l22'", "did you mean 'l2'?"),
        ("pgd, grid: {norm: [l2, l22]}", "grid.norm", "must be 'l2' or 'linf', got 'l22'", "did you mean 'l2'?"),
        ("pgd, loss: marign", "loss", "'bpr', 'hinge' or 'ndcg', got 'marign'", "did you mean 'margin'?"),
        ("pgd, norm: edits", "norm", "must be 'l2' or 'linf', got 'edits'", ""),
        (
            "greedy-edit, surface: embedding",
            "surface",
            "greedy-edit attacks the surface history alone",
            "leave surface",
        ),
        ("bandwagon, surface: history", "surface", "bandwagon attacks the surface interactions alone", "leave surface"),
        ("greedy-edit, norm: l2", "norm", "greedy-edit edits histories, which have no norm", "unit: fraction"),
        ("greedy-edit, scale: absolute", "scale", "greedy-edit edits histories, which have no scale", "unit: fraction"),
        ("greedy-edit, querys: 3", "querys", "unknown key 'querys'", "did you mean 'queries'?"),
        (
            "auto, steps: 3",
            "steps",
            "auto is a fixed list of attacks, whose 'steps' cannot be set",
            "leave",
        ),
        ("auto, surfase: history", "surfase", "unknown key 'surfase'", "did you mean 'surface'?"),
        ("auto, surface: history, norm: l2", "norm", "norm can only be edits", "leave it out"),
        ("auto, surface: history, scale: relative", "scale", "scale can only be absolute", "unit: fraction"),
        ("auto, surface: history, scale: absolute, unit: fraction", "scale", "scale can only be relative", "leave it"),
        ("auto, surface: history, place: end, white_box: true", "white_box", "can only be inserted", "leave it out"),
        ("auto, place: end", "place", "place is a rule for histories, not for embedding", "leave it out"),
        ("auto, surface: history, place: start", "place", "must be 'anywhere' or 'end', got 'start'", ""),
        ("auto, surface: history, plausible: 2", "plausible", "less than or equal to 0.999, got 2", ""),
        ("greedy-edit, edits: [delete], place: end", "place", "items can only be inserted", "edits: [insert]"),
        ("greedy-gradient, place: end", "place", "items can only be inserted", "edits: [insert]"),
        ("auto, norm: edits", "norm", "on the surface embedding the norm is l2 or linf, not edits", ""),
        (
            "auto, unit: fraction",
            "unit",
            "unit fraction belongs to the surface history, not to embedding",
            "surface: history",
        ),
        ("pgd, positives: known", "positives", "positives: known is of the surface parameters", "surface: parameters"),
        ("msap, surface: embedding", "surface", "positives: known is of the surface parameters", "surface: parameters"),
        ("msap, goal: promote", "goal", "goal: promote does not go with positives: known", "positives: held-out"),
        ("msap, grid: {goal: [promote]}", "grid.goal", "goal: promote does not go with", "positives: held-out"),
        ("msap, loss: ce", "loss", "known items are compared in pairs, as BPR does", "write loss: bpr"),
    ],
)
def test_a_wrong_setting_of_an_attack_is_told_at_its_field(tmp_path, registry, entry, place, problem, hint):
    path = tmp_path / "t.yaml"
    path.write_text(GOOD + f"attacks:\n  - {{name: {entry}, epsilon: 1}}\n")
    with pytest.raises(UserError) as caught:
        load_suite(path, registry)
    (line,) = str(caught.value).splitlines()
    assert f"t.yaml:7: attacks[0].{place}: " in line
    assert problem in line
    assert hint in line
    assert ("(" in line) == bool(hint)


def test_what_a_history_attack_spells_out_by_itself_may_be_written(tmp_path, registry):
    path = tmp_path / "t.yaml"
    contents = []
    for more in ("", ", norm: edits, scale: absolute", ", unit: edits"):
        path.write_text(GOOD + f"attacks:\n  - {{name: auto, surface: history{more}, epsilon: 1}}\n")
        contents.append(load_suite(path, registry).attacks[0].part.content())
    assert contents[0] == contents[1] == contents[2]


def test_all_mistakes_at_once_in_the_order_of_their_lines(tmp_path, registry):
    path = tmp_path / "t.yaml"
    path.write_text(
        "name: t\nseeds: []\ndatasets: [{name: nowhere}]\nmodels: [{name: mf, factors: 0}]\n"
        "attacks: [{name: pgd, epsilon: -1, step: 3}]\nextra: 1\n"
    )
    with pytest.raises(UserError) as caught:
        load_suite(path, registry)
    lines = str(caught.value).splitlines()
    assert [int(line.split(":")[1]) for line in lines] == [2, 3, 4, 5, 5, 6]


def test_data_in_place_of_a_suite_is_named(tmp_path, registry):
    for name in ("ratings.csv", "log.tsv.gz"):
        (tmp_path / name).write_bytes(b"user,item\n\xff")
        with pytest.raises(UserError, match=rf"{name}: this is data, not a suite \(robench data inspect .*{name}\)"):
            load_suite(tmp_path / name, registry)
    (tmp_path / "my.csv.yaml").write_text(GOOD)
    assert load_suite(tmp_path / "my.csv.yaml", registry).name == "t"


def test_a_missing_file_suggests_its_neighbour(tmp_path, registry):
    (tmp_path / "smoke.yaml").write_text(GOOD)
    with pytest.raises(UserError, match=r"smok\.yaml: no such file \(did you mean '.*smoke\.yaml'"):
        load_suite(tmp_path / "smok.yaml", registry)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (GOOD.replace("name: mf", "name: mff"), []),
        ("- a\n", []),
        (GOOD, ["--set", "nonsense"]),
        (GOOD, ["--only", "nobody=1"]),
        (GOOD, ["--executor", "nowhere"]),
        (GOOD, ["--workers", "0"]),
        (GOOD.replace("name: synthetic", "name: csv, path: nothing.csv"), []),
        (GOOD.replace("name: synthetic", "name: synthetic, min_user_interactions: 100000"), []),
        (GOOD + "attacks: [{name: bandwagon, epsilon: 0.1}]\ntargets: {count: 5000}\n", []),
    ],
)
def test_the_command_ends_with_exit_code_two_and_writes_nothing(robench, tmp_path, text, arguments):
    path = tmp_path / "t.yaml"
    path.write_text(text)
    done = robench(tmp_path, "run", str(path), "--results", str(tmp_path / "out"), *arguments)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


ONCE = [
    (GOOD.replace("{name: synthetic}", "{name: csv, paht: x}"), "unknown key 'paht'"),
    (GOOD + "metric: [ndcg@5]\nranking: [{surface: embedding, metric: ndcg@5, epsilon: 1}]\n", "unknown key 'metric'"),
    (
        GOOD + "metrics: [ndgc@5, hr@10]\nranking: [{surface: embedding, metric: ndcg@5, epsilon: 1}]\n",
        "unknown metric 'ndgc'",
    ),
    (GOOD + "attacks:\n  - {name: pgd, epsilom: 0.05}\n", "unknown key 'epsilom'"),
    (GOOD + "attacks:\n  - {name: pgd, grid: {epsilom: [0.05]}}\n", "unknown key 'epsilom'"),
    ("name: t\ndatasets: [{name: synthetic}]\nmodells: [{name: mf}]\n", "unknown key 'modells'"),
    (GOOD + "users: {sampel: 3}\n", "unknown key 'sampel'"),
    (GOOD + "ranking: [{surface: embedding, metric: ndcg@10, epsilom: 1}]\n", "unknown key 'epsilom'"),
    (GOOD + "ranking: [{surface: embedding, metric: ndgc@10, epsilon: 1}]\n", "unknown metric 'ndgc'"),
    (GOOD + "ranking: [{surface: embedding, metric: ndcg@0, epsilon: 1}]\n", "metric 'ndcg@0' needs its k, from 1"),
]


@pytest.mark.parametrize(("text", "problem"), ONCE)
def test_a_misspelt_word_is_one_mistake(tmp_path, text, problem):
    """A misspelt key that is required is reported once, and not also as missing."""
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_suite(path, Registry.of(Host.discover()))
    assert problem in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_missing_beside_a_misspelt_word_of_something_else_is_told(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(GOOD + "attacks:\n  - {name: pgd, stepps: 3}\n  - {name: fgsm, epsilom: 1}\n  - {name: fgsm}\n")
    with pytest.raises(UserError) as caught:
        load_suite(path, Registry.of(Host.discover()))
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "attacks[0]: an attack needs its budget" in lines[0]
    assert "unknown key 'stepps'" in lines[1]
    assert "unknown key 'epsilom'" in lines[2]
    assert "attacks[2]: an attack needs its budget" in lines[3]
