"""Tests that the published JSON schemas match the types of records and plans."""

import json

import pytest
from tools.schemas import FOLDER, build_schemas


@pytest.mark.parametrize("name", ["record.json", "plan.json"])
def test_a_published_schema_is_what_the_code_checks(name):
    assert (FOLDER / name).read_text("utf-8") == build_schemas()[name], "python tools/schemas.py writes it"
    assert json.loads(build_schemas()[name])["$schema"].endswith("2020-12/schema")
