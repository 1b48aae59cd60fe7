"""Tests the pictures of the threat models."""

import re
from xml.etree import ElementTree

import pytest
from tests.docs.pages import read, section
from tools.site.drawings import FOLDER, HEIGHT, TOUCHED, WIDTH, draw

from robench.api.surfaces import SURFACES


def test_every_surface_has_its_picture_in_its_section():
    # An attack on membership changes no input, so there is nothing to draw.
    assert set(TOUCHED) == set(SURFACES) - {"membership"}
    page = read("docs/reference/threat-models.md")
    for name, (_, _, words) in TOUCHED.items():
        assert f"![Attacks on {name}: {words}.](../images/threat-{name}.svg)" in section(page, f"`{name}`")


@pytest.mark.parametrize("name", TOUCHED)
def test_a_picture_is_what_the_tool_draws(name):
    text = (FOLDER / f"threat-{name}.svg").read_text("utf-8")
    assert text == draw(name)
    assert "prefers-color-scheme: dark" in text
    assert (FOLDER / f"threat-{name}.svg").stat().st_size < 4096
    root = ElementTree.fromstring(text)
    touched = [e for e in root.iter() if e.get("class") == "touched"]
    assert len(touched) == 1
    for label in (e for e in root.iter() if e.tag.endswith("text")):
        half = 3.7 * len(label.text)  # half of the width of a text, at 7.4 pixels per character
        assert half < float(label.get("x")) < WIDTH - half, label.text
        assert 12 < float(label.get("y")) < HEIGHT - 4
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
