"""Tests docs/design.md against the import contract and the code."""

import pkgutil
import re
import tomllib
from pathlib import Path

from tests.docs.pages import ROOT, read, section, tables

PACKAGES = section(read("docs/design.md"), "Packages and their imports")


def test_the_arrows_are_those_of_the_contract():
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    (line,) = re.findall(r"^cli │.*$", PACKAGES, re.M)
    shown = [set(part.split(", ")) for part in line.split(" │ ")]
    assert shown == [set(re.split(r" [:|] ", layer)) for layer in layers]


def test_every_package_and_every_part_of_the_engine_is_explained():
    packages, engine = tables(PACKAGES)
    root = ROOT / "benchmark" / "robench"
    names = {path.stem for path in root.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert {row["package"].strip("`") for row in packages} == {name for name in names if not name.startswith("__")}
    parts = {path.name for path in (root / "engine").iterdir() if not path.name.startswith("__")}
    shown = [name for row in engine for name in re.findall(r"`([\w.]+)/?`", row["place"])]
    assert set(shown) == parts


def test_files_and_objects_that_the_page_names_exist():
    text = read("docs/design.md")
    sources = [path.as_posix() for root in ("benchmark", "plugins", "tools") for path in (ROOT / root).rglob("*.py")]
    files = re.findall(r"`([\w/]+\.py)`", text)
    assert len(files) > 4
    for name in files:
        assert any(path.endswith(f"/{name}") for path in sources), name
    for name in re.findall(r"`(robench(?:\.\w+)+)`", text):
        try:
            assert pkgutil.resolve_name(name) is not None
        except (ImportError, AttributeError) as error:
            raise AssertionError(name) from error


def test_no_python_file_has_more_than_400_lines():
    roots = (ROOT / name for name in ("benchmark", "plugins", "tests", "tools"))
    lengths = {path: path.read_text("utf-8").count("\n") for root in roots for path in root.rglob("*.py")}
    assert len(lengths) > 500
    assert [f"{path.relative_to(ROOT)}: {lines}" for path, lines in lengths.items() if lines > 400] == []


def test_untyped_mappings_and_other_parsers_of_measures_stay_rare():
    texts = {str(path): path.read_text("utf-8") for path in (ROOT / "benchmark" / "robench").rglob("*.py")}
    assert sum(line.count("dict[str, Any]") > 0 for text in texts.values() for line in text.splitlines()) <= 40
    assert [Path(name).name for name, text in texts.items() if 'partition("@")' in text] == ["metric.py"]
