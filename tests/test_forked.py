"""Tests what is imported before commands are forked, and what is not drawn."""

import re
import shutil
from importlib.util import find_spec

import pytest
from tests.docs.pages import ROOT
from tests.forked import FORKS, PRELOADED, conformance

FROZEN = """
import gc

def test_frozen():
    assert gc.get_freeze_count() > 100_000
"""
STEP = """
import sys, torch

def test_step():
    before = set(sys.modules)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    optimizer.zero_grad()
    optimizer.step()
    assert len(set(sys.modules) - before) < 10
"""
TEMPLATE = """
from robench.report.page.build import load_template

def test_template():
    assert load_template.cache_info().currsize == 1
"""


def test_every_module_exists():
    """The fork server ignores a module that does not exist."""
    assert [name for name in PRELOADED if find_spec(name) is None] == []


@pytest.mark.skipif(not FORKS, reason="the system has no fork server")
def test_the_collector_of_a_fork_skips_the_imported_modules(tmp_path):
    """Each full collection would otherwise visit all objects of these modules."""
    (tmp_path / "test_frozen.py").write_text(FROZEN)
    done = conformance(tmp_path, "test_frozen.py")
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not FORKS, reason="the system has no fork server")
def test_a_step_of_an_optimizer_imports_next_to_nothing_in_a_fork(tmp_path):
    """The import of ``torch._dynamo`` would cost every victim a second."""
    (tmp_path / "test_step.py").write_text(STEP)
    done = conformance(tmp_path, "test_step.py")
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not FORKS, reason="the system has no fork server")
def test_no_fork_compiles_the_template_of_the_page(tmp_path):
    """Compiling it takes a third of the time of ``robench leaderboard``."""
    (tmp_path / "test_template.py").write_text(TEMPLATE)
    done = conformance(tmp_path, "test_template.py")
    assert done.returncode == 0, done.stdout


def test_a_forked_command_draws_no_pictures(tmp_path, robench):
    """Each drawing would start a process, which takes half a second."""
    shutil.copytree(ROOT / "results" / "article", tmp_path / "article")
    done = robench(tmp_path, "leaderboard", "article")
    assert done.returncode == 0, done.stderr
    pictures = re.findall("<svg.*?</svg>", (tmp_path / "article" / "index.html").read_text("utf-8"), re.S)
    assert pictures
    assert [one for one in pictures if not re.fullmatch("<svg><desc>[0-9a-f]{64}</desc></svg>", one)] == []
