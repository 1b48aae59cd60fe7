"""Tests the ranking tables in LaTeX."""

import re

import pytest
from tests.fakes import EMBEDDING, World, ranks

from robench.report.latex import latex_text, to_latex

HOSTILE = r"\input{/etc/passwd} 50% & a_b #1 $x$ ~^ {}"


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("latex") / "w", [EMBEDDING])
    for seed in range(3):
        for model in ("mf", HOSTILE):
            for weight, left in ((1.0, 10), (0.5, 20 + seed)):
                world.cell(ranks(150, 99), model=model, seed=seed, weight=weight)
                world.cell(ranks(left, 99), model=model, seed=seed, weight=weight, attack="pgd", epsilon=0.05)
    return to_latex(world.build())


def test_every_line_has_as_many_cells_as_the_table_has_columns(text):
    (columns,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 5
    for line in lines:
        assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1


def test_braces_and_environments_are_closed(text):
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))


def test_a_name_is_printed_and_executes_nothing(text):
    assert r"\input" not in text
    assert (
        r"\textbackslash{}input\{/etc/passwd\} 50\% \& a\_b \#1 \$x\$ \textasciitilde{}\textasciicircum{} \{\}" in text
    )


def test_symbols_and_signs_are_those_of_mathematics():
    assert latex_text("λ=0.5, ε ≤ 1") == r"$\lambda$=0.5, $\varepsilon$ $\leq$ 1"
    assert latex_text("text-bert -.0134 [-1.5, –]") == "text-bert $-$.0134 [$-$1.5, --]"


def test_values_are_those_of_the_leaderboard(text):
    assert ".7500 [" in text
