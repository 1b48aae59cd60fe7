"""Tests which edits of source files change the code digest of a class."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest

from robench.api.component import Component
from robench.files.sources import Sources
from robench_plugins.models.lstm import Lstm

ROOT = Path(__file__).resolve().parents[2]
EDITS = {
    "plugins/robench_plugins/attacks/embedding/pgd.py": {"attack auto", "attack pgd"},
    "plugins/robench_plugins/models/recurrent_model.py": {"model gru4rec", "model lstm", "model text-bert"},
    "benchmark/robench/pretrained/encoder.py": {
        "attack collide",
        "attack rewrite",
        "model chat",
        "model llm",
        "model text-bert",
        "model tiger",
    },
    "plugins/robench_plugins/registration.py": set(),
    "plugins/robench_plugins/metrics/ranking.py": set(),
    "benchmark/robench/report/files.py": set(),
    "benchmark/robench/tables/build.py": set(),
    "benchmark/robench/suite/load.py": set(),
    "benchmark/robench/cli.py": set(),
    "benchmark/robench/engine/fit/loop.py": {"robench"},
    "benchmark/robench/api/rng.py": {"robench"},
    "benchmark/robench/spec.py": {"robench"},
    "benchmark/robench/run/victim.py": {"robench"},
    "benchmark/robench/run/device.py": {"robench"},
}
SCRIPT = """
import json, sys
from pathlib import Path
from robench.files.sources import Sources
from robench.host.discovery import Host
from robench.host.registry import Registry

registry = Registry.of(Host.discover())
parts = [(kind, name) for kind, name, _ in registry.listing() if kind in ("dataset", "model", "attack", "defense")]

def digests():
    sources = Sources()
    return {"robench": sources.core} | {f"{k} {n}": sources.digest(registry.load(k, n)) for k, n in parts}

before = digests()
for names in json.loads(sys.argv[1]):
    contents = {Path(name): Path(name).read_bytes() for name in names}
    cores = []
    for path, content in contents.items():
        path.write_bytes(content + b"# a comment\\n")
        cores.append(Sources().core)
    after = digests()
    for path, content in contents.items():
        path.write_bytes(content)
    assert len({before["robench"], *cores}) in (1, 1 + len(cores)), names
    print(json.dumps([names, [key for key in before if before[key] != after[key]]]))
assert digests() == before
"""


def test_an_edit_changes_what_it_can_change_and_nothing_else(tmp_path):
    """The script reads all digests once per group of edits with the same effect.

    The digest of robench itself is read after every edit.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, changed in EDITS.items():
        groups.setdefault(tuple(sorted(changed)), []).append(name)
    for name in ("benchmark", "plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = os.pathsep.join(str(tmp_path / name) for name in ("benchmark", "plugins"))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(list(groups.values()))],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "ROBENCH_PLUGINS": ""},
    )
    assert done.returncode == 0, done.stderr
    found = [(tuple(sorted(changed)), names) for names, changed in map(json.loads, done.stdout.splitlines())]
    assert found == list(groups.items())


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Returns a function that writes the files of a package named ``sample``.

    The function imports the package, and returns the class ``Part`` of the module ``sample.part``.
    """
    monkeypatch.syspath_prepend(tmp_path)

    def write(files, init=""):
        for name in [name for name in sys.modules if name.partition(".")[0] == "sample"]:
            monkeypatch.delitem(sys.modules, name)
        for name, text in ({"__init__.py": init} | files).items():
            if text is not None:
                target = tmp_path / "sample" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module("sample.part").Part

    return write


PART = "from robench.api.component import Component\n{}\nclass Part(Component):\n    def work(self):\n        {}\n"


@pytest.mark.parametrize(
    ("above", "inside", "counts"),
    [
        ("import sample.other", "pass", True),
        ("import sample.other as other", "pass", True),
        ("from sample import other", "pass", True),
        ("from . import other", "pass", True),
        ("from .other import x", "pass", True),
        ("from .deep.down import y", "pass", True),
        ("", "from sample.other import x", True),
        ("", "return 'sample.other:x'", True),
        ("from .deep import *", "pass", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .other import x", "pass", False),
        ("import typing\nif typing.TYPE_CHECKING:\n    import json\nelse:\n    from .other import x", "pass", True),
        ("def robench_models():\n    from .other import x\n    return {'x': 'sample.other:x'}", "pass", False),
        ("from ....... import other", "pass", None),
        ("import json", "pass", False),
        ("", "return 'see sample.other:x or not'", False),
    ],
)
def test_modules_that_are_imported_count(package, tmp_path, above, inside, counts):
    files = {
        "other.py": "x = 1\n",
        "deep/__init__.py": "from ..other import x\n",
        "deep/down.py": "y = 1\n",
        "part.py": PART.format("" if counts is None else above, inside),
    }
    part = package(files, init="from .other import x\n")
    if counts is None:  # Python cannot import a name with more dots than packages
        (tmp_path / "sample" / "part.py").write_text(PART.format(above, inside))
    before = Sources().digest(part)
    assert Sources().digest(part) == before
    (tmp_path / "sample" / "other.py").write_text("x = 2\n")
    assert (Sources().digest(part) != before) is bool(counts)


@pytest.mark.parametrize("above", ["from . import deep", "import sample", "from .deep.down import y"])
def test_the_init_of_a_plugin_is_only_its_list_of_components(package, tmp_path, above):
    files = {"deep/__init__.py": "", "deep/down.py": "y = 1\n", "part.py": PART.format(above, "pass")}
    part = package(files, init="z = 1\n")
    before = Sources().digest(part)
    (tmp_path / "sample" / "__init__.py").write_text("z = 2\n")
    assert Sources().digest(part) == before


def test_the_init_of_a_package_counts_unless_it_only_registers_plugins(package, tmp_path):
    files = {
        "deep/__init__.py": "",
        "deep/down.py": "y = 1\n",
        "part.py": PART.format("from .deep.down import y", "pass"),
    }
    part = package(files, init="z = 1\n")
    before = Sources().digest(part)
    (tmp_path / "sample" / "__init__.py").write_text("z = 2\n")
    assert Sources().digest(part) == before
    (tmp_path / "sample" / "deep" / "__init__.py").write_text("# edited\n")
    assert Sources().digest(part) != before
    (tmp_path / "sample" / "part.py").write_text(PART.format("from . import z", "pass"))
    before = Sources().digest(part)
    (tmp_path / "sample" / "__init__.py").write_text("z = 3\n")
    assert Sources().digest(part) != before, "a value is taken from it"


def test_the_modules_of_bases_count_and_those_of_libraries_do_not(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sample_child.py").write_text(
        "from robench_plugins.models.lstm import Lstm\nclass Mine(Lstm):\n    pass\n"
    )
    mine = importlib.import_module("sample_child").Mine
    sources = Sources()
    names = {name for name, _ in sources._contents_of(mine)}
    assert names == {"sample_child", *(name for name, _ in sources._contents_of(Lstm))}
    assert {name.partition(".")[0] for name in names} == {"sample_child", "robench_plugins"}


def test_modules_that_cannot_be_read_are_no_reason_to_fail(package, tmp_path):
    broken = PART.format("", "from .broken import x; from .binary import y; import sample.nowhere")
    part = package({"broken.py": "def (", "binary.py": "x\0", "unrelated.py": "][", "part.py": broken})
    before = Sources().digest(part)
    (tmp_path / "sample" / "unrelated.py").write_text("[")
    assert Sources().digest(part) == before
    (tmp_path / "sample" / "broken.py").write_text("def )")
    assert Sources().digest(part) != before
    (tmp_path / "sample" / "part.py").unlink()
    assert len(Sources().digest(part)) == 16


def test_a_namespace_package_is_read(package, tmp_path):
    part = package({"__init__.py": None, "other.py": "x = 1\n", "part.py": PART.format("from .other import x", "pass")})
    assert importlib.import_module("sample").__file__ is None
    before = Sources().digest(part)
    (tmp_path / "sample" / "other.py").write_text("x = 2\n")
    assert Sources().digest(part) != before


def test_a_package_in_a_zip_is_read(tmp_path, monkeypatch):
    digests = []
    for number in (1, 2):
        path = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("zipped/__init__.py", "")
            file.writestr("zipped/other.py", f"x = {number}\n")
            file.writestr("zipped/part.py", PART.format("from .other import x", "pass"))
        with monkeypatch.context() as patch:
            patch.syspath_prepend(path)
            for name in [name for name in sys.modules if name.partition(".")[0] == "zipped"]:
                patch.delitem(sys.modules, name)
            part = importlib.import_module("zipped.part").Part
            digests.append([Sources().digest(part) for _ in range(2)])
    assert digests[0][0] == digests[0][1] != digests[1][0]


def test_a_module_without_source_is_read(monkeypatch):
    module = types.ModuleType("made_by_hand")
    monkeypatch.setitem(sys.modules, "made_by_hand", module)
    exec("from robench.api.component import Component\nclass Part(Component):\n    pass\n", vars(module))
    assert Sources().code_of([module.Part]) == {
        "robench": Sources().core,
        "made_by_hand:Part": Sources().digest(module.Part),
    }
    assert Sources().digest(Component) == Sources().digest(Component)


def test_an_object_reads_a_file_once(package, tmp_path):
    part = package({"part.py": PART.format("", "pass")})
    sources = Sources()
    before = sources.code_of([part])
    (tmp_path / "sample" / "part.py").write_text(PART.format("", "return 1"))
    assert sources.code_of([part]) == before
    assert Sources().code_of([part]) != before


def test_a_helper_beside_a_plugin_of_one_file_counts(tmp_path, monkeypatch):
    (tmp_path / "flat_plugin.py").write_text(
        "import flat_helper\nfrom robench.api import Model\n\n\nclass Mine(Model):\n    pass\n"
    )
    (tmp_path / "flat_helper.py").write_text("SCALE = 1\n")
    (tmp_path / "flat_other.py").write_text("SCALE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("flat_plugin").Mine
    before = Sources().digest(mine)
    (tmp_path / "flat_other.py").write_text("SCALE = 2\n")
    assert Sources().digest(mine) == before
    (tmp_path / "flat_helper.py").write_text("SCALE = 2\n")
    assert Sources().digest(mine) != before
