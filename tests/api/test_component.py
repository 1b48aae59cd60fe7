"""Tests the marks of settings that were added after results were published."""

import pytest
from pydantic import Field

from robench.api import BaseConfig
from robench.api.component import LATER, later


class Settings(BaseConfig):
    size: int = 20
    lambda_: float = Field(default=1.0, alias="lambda")
    score: str = Field(default="new", json_schema_extra=later("old"))
    extra: int = Field(default=3, json_schema_extra=LATER)


EARLIER = {"size": 20, "lambda": 1.0}  # as an earlier cell has stored its settings


def test_settings_of_an_earlier_cell_mean_the_earlier_value_and_stay_as_they_are():
    settings = Settings.model_validate(EARLIER)
    assert settings.score == "old"
    assert settings.resolved() == EARLIER
    assert Settings.from_written({**EARLIER, "lambda": 0.5}).score == "old"


@pytest.mark.parametrize("written", [{}, {"size": 20}, {"lambda": 0.5}, {"extra": 4, "size": 1}])
def test_settings_that_lack_others_get_the_default(written):
    settings = Settings.from_written(written)
    assert settings.score == "new"
    assert settings.resolved()["score"] == "new"
    assert Settings.model_validate(settings.resolved()) == settings


def test_a_written_value_is_kept():
    for value in ("old", "new", "other"):
        settings = Settings.model_validate({"score": value})
        assert settings.score == value
        assert ("score" in settings.resolved()) == (value != "old")
        assert Settings.model_validate(settings.resolved()) == settings
