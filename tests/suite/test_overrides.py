import pytest

from robench.api.errors import UserError
from robench.suite.overrides import apply_overrides
from robench.suite.yaml import parse

TEXT = """
name: t
seeds: [0, 1]
models: [popularity, {name: mf, factors: 8}, {name: mf, label: big, factors: 64}, {name: lstm}]
"""


def applied(*overrides):
    tree = parse(TEXT, "t.yaml")
    apply_overrides(tree, overrides)
    return tree


@pytest.mark.parametrize(
    ("override", "look", "value"),
    [
        ("name=u", lambda d: d["name"], "u"),
        ("seeds=[3, 4]", lambda d: d["seeds"], [3, 4]),
        ("seeds[1]=7", lambda d: d["seeds"], [0, 7]),
        ("seeds.1=7", lambda d: d["seeds"], [0, 7]),
        ("models.lstm.dim=1e-3", lambda d: d["models"][3]["dim"], 0.001),
        ("models.big.factors=32", lambda d: d["models"][2]["factors"], 32),
        ("models[1].factors=8/2", lambda d: d["models"][1]["factors"], 4.0),
        ("models.popularity.label=pop", lambda d: d["models"][0], {"name": "popularity", "label": "pop"}),
        ("targets.count=3", lambda d: d["targets"], {"count": 3}),
        ("name='12'", lambda d: d["name"], "12"),
        ("name=a=b", lambda d: d["name"], "a=b"),
        ("split={name: random-ratio, ratios: [8, 1, 1]}", lambda d: d["split"]["ratios"], [8, 1, 1]),
    ],
)
def test_values_are_set(override, look, value):
    actual = look(applied(override).data)
    assert actual == value
    assert type(actual) is type(value)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("nonsense", "written path=value"),
        ("=3", "written path=value"),
        (".=3", "written path=value"),
        ("name.x=2", "nothing can be set below 'name'"),
        ("models.nobody.x=1", "has no entry 'nobody'"),
        ("models.lstmm.x=1", "did you mean 'lstm'"),
        ("models.mf.factors=3", r"several entries of 'models' are called 'mf' \(pick one: models\[1\], models\[2\]\)"),
        ("seeds[5]=3", "'seeds' has no entry 5"),
        ("seeds=[0", "not YAML"),
        ("name={a: 1, a: 2}", "duplicate key 'a'"),
        ("name=[!x 3]", "not allowed"),
        ("targets.count=05", r"05 begins with a zero \(write 5, or '05' if it is text\)"),
        ("seeds=[0,05]", r"05 begins with a zero \(a decimal point, not a comma: write 0\.05\?"),
    ],
)
def test_a_wrong_override_is_one_line_that_repeats_it(override, problem):
    with pytest.raises(UserError, match=problem) as caught:
        applied(override)
    assert str(caught.value).startswith(f"--set {override}:")
    assert "\n" not in str(caught.value)


def test_the_place_of_what_was_set_is_the_override():
    tree = applied("models.lstm.dim=x", "targets.cuont=3")
    assert tree.place(("models", 3, "dim")) == "--set models.lstm.dim=x"
    assert tree.place(("models", 3, "name")) == "t.yaml:4"
    assert tree.place(("targets",)) == "--set targets.cuont=3"
    assert tree.place(("seeds", 0)) == "t.yaml:3"
