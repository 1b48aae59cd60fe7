"""Tests that text from plugins, data and suites is inert in every output.

The tests also check that the original labels can be read back from a CSV file.
"""

import io
import json
import logging
import unicodedata

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import given
from markdown_it import MarkdownIt

from robench.api.escapes import (
    csv_text,
    describe_error,
    in_one_line,
    make_inert,
    markdown_cell,
    markdown_text,
    shortened,
    visible,
    visible_lines,
    well_formed,
)

HARMFUL = "\x1b]0;t\x07\0\r\n\x85\x9b\u2028\u202e\u2066\u200f\ud800"
FORMULAS = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(1)", "'=1", "'", "=", "-0.5"]
LINKS = [
    "[x](javascript:alert(1))",
    "![x](http://y)",
    "[x]: http://y",
    "[x][y]",
    "\\[x\\](y)",
    "[x\\](y)",
    "<script>",
    "<http://y>",
]
ANY = st.text(st.characters(exclude_categories=()))


@given(ANY)
def test_what_is_visible_is_printable_text(text):
    shown = visible(text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cs", "Zl", "Zp"}
    shown.encode()
    assert text.isprintable() <= (shown == text)


def test_each_harmful_character_has_a_mark():
    assert visible("a\x1b[1mb") == "a‹U+001B›[1mb"
    assert all(visible(char) == f"‹U+{ord(char):04X}›" for char in HARMFUL if char not in "]0;t")
    family = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}"
    assert visible(family) == family
    assert visible_lines("a\n\tb\x1b") == "a\n\tb‹U+001B›"


@given(
    st.lists(st.one_of(st.sampled_from(FORMULAS), st.text(st.characters(exclude_categories=("C", "Z")))), min_size=1)
)
def test_pandas_and_the_removal_of_an_apostrophe_give_labels_back(labels):
    fields = [csv_text(label) for label in labels]
    assert not any(field.startswith(("=", "+", "-", "@")) for field in fields)
    text = pd.DataFrame({"label": fields}).to_csv(index=False)
    read = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)["label"]
    assert read.str.replace(r"^'", "", regex=True).tolist() == labels


@pytest.mark.parametrize("text", LINKS)
def test_markdown_has_no_links_and_no_html(text):
    for document in (f"- {markdown_text(text)}\n\n[y]: http://z", f"| a |\n|---|\n| {markdown_cell(text)} |"):
        html = MarkdownIt().enable("table").render(document)
        assert not any(tag in html for tag in ("<a ", "<img", "<script"))


@given(st.text(st.sampled_from("[]()<>\\:|!ax/`.w\n")))
def test_no_text_makes_a_link_or_breaks_a_table(text):
    lines = MarkdownIt().render(f"- {markdown_text(text)}")
    assert "<a " not in lines
    assert "<img" not in lines
    html = MarkdownIt().enable("table").render(f"| a | b |\n|---|---|\n| x{markdown_cell(text)}x | last |")
    assert html.count("<td") == 2
    assert "<td>last</td>" in html


def test_addresses_are_not_linked_by_those_who_link_bare_ones():
    assert markdown_text("http://x www.y.z WWW.Y.Z") == "http:\\//x www\\.y.z WWW\\.Y.Z"


@given(st.recursive(ANY, lambda part: st.lists(part) | st.dictionaries(ANY, part), max_leaves=4))
def test_well_formed_values_are_utf8(value):
    assert json.dumps(well_formed(value), ensure_ascii=False).encode()


def test_half_a_character_is_written_as_its_escape():
    assert well_formed({"\udcff": ["ε\ud800"]}) == {"\\udcff": ["ε\\ud800"]}


def test_long_texts_say_how_much_is_cut():
    assert shortened("abc", 3) == "abc"
    assert shortened("a" * 50 + "b" * 50, 10) == "aaaaa … [90 characters are cut here] … bbbbb"
    assert len(in_one_line("x" * 5_000_000)) < 600


def test_an_exception_without_a_text_is_described():
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError

    assert describe_error(Silent()) == "Silent: (its text cannot be had: RuntimeError)"
    assert describe_error(ValueError("a\n\x1b")) == "ValueError: a ‹U+001B›"


def test_the_log_is_inert_with_its_tracebacks():
    out = io.StringIO()
    log = logging.Logger("evil")
    log.addHandler(logging.StreamHandler(out))
    log.addFilter(make_inert)
    log.warning("%s: %s\nb", "\x1b[2J", "x" * 1_000_000)
    try:
        raise ValueError("\x1b\ud800")
    except ValueError:
        log.exception("it failed")
    assert "\x1b" not in out.getvalue()
    assert "ValueError: ‹U+001B›‹U+D800›" in out.getvalue()
    assert "\nb\n" in out.getvalue()
    assert len(out.getvalue()) < 10_000
