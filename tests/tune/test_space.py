"""Tests the settings that a search draws."""

import itertools
import math

import pytest
from pydantic import Field

from robench.api.component import LATER, BaseConfig, Component, search
from robench.api.errors import UserError
from robench.spec import Part
from robench.suite.trials import Trial
from robench.tune.space import draw_settings, read_axes, with_settings


class Mine(Component):
    class Config(BaseConfig):
        rate: float = Field(default=1.0, json_schema_extra=LATER | search(1e-3, 1e-1, log=True))
        width: int = Field(default=16, le=64, json_schema_extra=search(8, 128))
        mode: str = Field(default="a", json_schema_extra=search(choices=["a", "b"]))
        other: int = 3


def part(**passed) -> Part:
    return Part("mine", Mine.Config(**passed).resolved(), "mine", passed, "my:plugin")


def draw(number, earlier=(), taken=(), seed=0, axes=None, own=None):
    own = own or part()
    return draw_settings(axes or read_axes(Mine, own), own, number, earlier, taken, [seed, "mine"])


def test_a_setting_that_the_suite_gives_is_not_searched():
    assert {*read_axes(Mine, part())} == {"rate", "width", "mode"}
    assert {*read_axes(Mine, part(rate=0.5, mode="b"))} == {"width"}


def test_trial_0_has_the_settings_of_the_suite_even_outside_the_range():
    assert draw(0) == {"rate": 1.0, "width": 16, "mode": "a"}


def test_draws_stay_inside_and_depend_on_number_and_seed_alone():
    drawn = [draw(number) for number in range(1, 10)]
    assert all(1e-3 <= one["rate"] <= 0.1 and 8 <= one["width"] <= 128 and one["mode"] in "ab" for one in drawn)
    assert all(type(one["width"]) is int for one in drawn)
    assert drawn == [draw(number) for number in range(1, 10)]
    assert len({str(one) for one in drawn}) == 9
    assert draw(1, seed=1) != draw(1)
    assert sum(one["rate"] < 1e-2 for one in drawn) >= 2  # a logarithmic scale


def test_the_first_trials_lie_in_all_quarters_of_every_range():
    class Wide(Component):
        class Config(BaseConfig):
            rate: float = Field(default=1e-2, json_schema_extra=search(1e-4, 1.0, log=True))
            share: float = Field(default=0.5, json_schema_extra=search(0, 1))
            mode: str = Field(default="b", json_schema_extra=search(choices=["a", "b", "c", "d"]))

    own = Part("mine", Wide.Config().model_dump(), "mine", {}, "my:plugin")
    for seed in range(20):
        drawn = [draw(number, seed=seed, axes=read_axes(Wide, own), own=own) for number in range(4)]
        assert drawn[0] == {"rate": 1e-2, "share": 0.5, "mode": "b"}
        for places in ([one["share"] for one in drawn], [1 + math.log10(one["rate"]) / 4 for one in drawn]):
            ordered = sorted(places)
            gaps = [two - one for one, two in itertools.pairwise([*ordered, ordered[0] + 1])]
            assert 0.1 < min(gaps) <= max(gaps) < 0.4  # a quarter, but for the random part
        assert len({one["mode"] for one in drawn}) == 4


def test_no_settings_are_drawn_twice_while_there_are_others():
    own = part(rate=0.1, width=8)
    assert draw(1, taken=[{"mode": "a"}], own=own) == {"mode": "b"}
    assert draw(1, taken=[{"mode": "b"}], own=own) == {"mode": "a"}
    assert draw(2, taken=[{"mode": "a"}, {"mode": "b"}], own=own)["mode"] in "ab"


def test_later_trials_learn_from_earlier_ones():
    axes = read_axes(Mine, part(width=8, mode="a"))
    rates = [1.0, *(10 ** (-3 + 0.2 * step) for step in range(11))]  # the best are near 1e-3
    earlier = [
        Trial("model", "mine", "mine", number, {"rate": rate}, {}, max(0.0, 0.9 - 8 * rate), 0.0)
        for number, rate in enumerate(rates)
    ]
    drawn = [draw(12, earlier, seed=seed, axes=axes)["rate"] for seed in range(12)]
    blind = [draw(1, earlier, seed=seed, axes=axes)["rate"] for seed in range(12)]
    assert sum(rate < 1e-2 for rate in drawn) > sum(rate < 1e-2 for rate in blind)


def test_a_combination_that_the_component_refuses_is_one_line():
    assert with_settings(Mine, part(other=4), {"width": 32}).config["other"] == 4
    with pytest.raises(UserError, match=r"mine refuses .*less than or equal to 64"):
        with_settings(Mine, part(), {"width": 100})


def test_the_strengths_of_a_defence_are_never_searched():
    class Strong(Component):
        class Config(BaseConfig):
            weight: float = Field(default=0.5, alias="lambda", json_schema_extra=search(0, 1))
            epsilon: float = Field(default=0.1, json_schema_extra=search(0, 1))
            steps: int = Field(default=3, json_schema_extra=search(1, 9))

    config = Strong.Config().model_dump(by_alias=True)
    assert {*read_axes(Strong, Part("mine", config, "mine", {}, "my:plugin"))} == {"steps"}


def test_a_declaration_that_cannot_be_read_names_the_plugin():
    class Broken(Component):
        class Config(BaseConfig):
            rate: float = Field(default=1.0, json_schema_extra={"search": {"from": 1}})

    with pytest.raises(UserError, match="plugin my:plugin declares no valid search of rate"):
        read_axes(Broken, part())


@pytest.mark.parametrize(
    "declared",
    [{}, {"low": 1}, {"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True}, {"low": 1, "high": 2, "choices": [1]}],
)
def test_a_plugin_cannot_declare_an_empty_search(declared):
    with pytest.raises(ValueError, match=r"search|logarithmic"):
        search(**declared)
