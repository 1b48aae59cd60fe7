"""Executes the commands by which a page writes, tests and packs a plugin.

``tools/new_plugins.py`` tests every kind of package, with a wheel of robench.
"""

import os
import re
import subprocess
import sys
import venv

import pytest
from tests.docs.pages import blocks, read, section

PAGE = read("docs/plugins/index.md")
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
# Takes the place of a package that pip downloads for ``pip install -e``.
EDITABLES = """class EditableProject:
    def __init__(self, name, root):
        self.name, self.paths = name, []
    def add_to_path(self, path):
        self.paths.append(path)
    def files(self):
        yield f"{self.name}.pth", "\\n".join(map(str, self.paths))
    def dependencies(self):
        return []
"""


@pytest.fixture
def environment(tmp_path):
    """Returns the variables of a new virtual environment with this robench.

    The environment borrows all packages from the present one, so nothing is downloaded.
    """
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text("\n".join(path for path in sys.path if os.path.isdir(path)), "utf-8")
    (site / "editables.py").write_text(EDITABLES, "utf-8")
    command = tmp_path / "venv" / "bin" / "robench"
    command.write_text(f"#!{command.parent}/python\nfrom robench.__main__ import main\nmain()\n", "utf-8")
    command.chmod(0o755)
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ROBENCH_PLUGINS")}
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return {**own, **OFFLINE, "PATH": path, "ROBENCH_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"}


@pytest.mark.command
def test_the_commands_of_the_page_write_test_run_and_pack_a_plugin(tmp_path, environment):
    first, *_, last = blocks(section(PAGE, "Start with a package"), "")
    assert "new-plugin" in first
    assert "pip wheel" in last
    done = subprocess.run(
        ["bash", "-euc", first + last], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"^=*\s*\d+ passed", done.stdout, re.M), "the conformance test"
    assert "my_model.model:MyModel" in done.stdout, "the description of the installed component"
    package = tmp_path / "my-model"
    assert "my-model" in (package / "results" / "my-model" / "leaderboard.csv").read_text("utf-8")
    (wheel,) = (package / "dist").iterdir()
    assert wheel.name in last
    (installed,) = (tmp_path / "venv" / "lib").glob("python*/site-packages/my_model/model.py")
    assert installed.read_bytes() == (package / "my_model" / "model.py").read_bytes()
