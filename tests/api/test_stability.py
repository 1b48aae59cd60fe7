"""Tests that every public name and every hook has a stability level and a page."""

import importlib
import inspect
import re

from tests.docs.pages import ROOT, read, section, tables

import robench.api
import robench.testing
from robench.api import hooks
from robench.api.stability import API_VERSION, EXPERIMENTAL, level_of, written_for
from robench.host.compatibility import find_misfit

PAGE = read("docs/reference/api.md")
HOOKS = {name for name in dir(hooks) if name.startswith("robench_")}


def names_of(package):
    return set(importlib.import_module(package).__all__)


def test_every_name_is_on_the_page_with_its_level_and_a_page_that_names_it():
    for heading, home, names in (
        ("Hooks", hooks, HOOKS),
        ("`robench.api`", robench.api, names_of("robench.api")),
        ("`robench.testing`", robench.testing, names_of("robench.testing")),
    ):
        (rows,) = tables(section(PAGE, heading))
        assert {row["name"].strip("`") for row in rows} == names
        for row in rows:
            name = row["name"].strip("`")
            assert row["level"] == level_of(name), name
            assert row["meaning"] == (first_line(getattr(home, name)) or row["meaning"] or None), name
            (link,) = re.findall(r"\]\((.*)\)", row["page"])
            text = (ROOT / "docs" / "reference" / link).resolve().read_text("utf-8")
            assert home is robench.api or re.search(rf"\b{name}\b", text), f"{link} does not name {name}"


def first_line(value):
    """Returns the first line of a docstring, or nothing for an alias of a type."""
    own = inspect.isclass(value) or inspect.isfunction(value)
    return (inspect.getdoc(value) or "").partition("\n")[0].replace("``", "`") if own else ""


def test_experimental_names_exist():
    assert HOOKS | names_of("robench.api") | names_of("robench.testing") >= EXPERIMENTAL


def test_the_page_has_the_present_version():
    assert f"The version of the API is {API_VERSION}," in PAGE
    assert f'requires_api = "{written_for()}"' in PAGE
    assert find_misfit(written_for()) == ""
