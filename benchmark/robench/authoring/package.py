"""Writes the package of a new plugin.

The files come from the jinja2 templates in ``templates``. The folder ``shared`` has the files that every kind has, and
each kind has a folder with its component, its conformance test and its suite.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from robench import __version__
from robench.api.errors import UserError
from robench.api.stability import written_for
from robench.authoring.kinds import LAYOUTS, Layout, PackageKind
from robench.authoring.names import Names, check_class_name, check_free, derive_names
from robench.host.registry import KINDS, Registry

TEMPLATES = Path(__file__).with_name("templates")


def new_plugin(name: str, kind: PackageKind, parent: Path, registry: Registry) -> Iterator[str]:
    """Writes a package with one component and yields lines for the user.

    The package gets a folder of its own, which must not exist yet. Either all files are written, or none.

    Args:
        name: the name of the plugin.
        kind: the kind of the component.
        parent: the folder in which the folder of the package is created.
        registry: the components of the installed plugins.

    Raises:
        UserError: if the name is not allowed or is already taken, if the folder exists, or if it cannot be written.
    """
    names, layout = derive_names(name), LAYOUTS[kind]
    folder = parent / names.name
    if folder.exists() or folder.is_symlink():
        raise UserError("already exists, and nothing is overwritten", where=str(folder), hint="choose another name")
    check_free(names, layout, registry)
    files = render(names, kind)
    check_class_name(names, files)
    try:
        _write(folder, files)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", where=str(folder)) from None
    yield f"{folder}: {layout.noun} that works, its conformance test and a suite"
    yield f"  cd {folder}"
    yield "  python -m pip install -e '.[test]'"
    yield "  python -m pytest"
    yield f"  robench run suite.yaml{_options(kind, names)}"


def render(names: Names, kind: PackageKind) -> dict[str, str]:
    """Returns the content of each file of a package, by its path in the package."""
    layout = LAYOUTS[kind]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,  # the files hold code, not HTML
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    variables = {
        **vars(names),
        "kind": kind.value,
        "module": layout.module,
        "noun": layout.noun,
        "hook": KINDS[layout.component][0] if layout.component else "",
        "options": _options(kind, names),
        "version": __version__,
        "requires_api": written_for(),
    }
    paths = _paths(names, layout, kind)
    return {path: environment.get_template(template).render(variables) for path, template in paths.items()}


def _paths(names: Names, layout: Layout, kind: PackageKind) -> dict[str, str]:
    """Returns the template of each file of a package, by the path of the file."""
    hooks = "report/__init__.py" if kind is PackageKind.REPORT else "shared/__init__.py"
    paths = {
        "pyproject.toml": "shared/pyproject.toml",
        "README.md": "shared/README.md",
        ".gitignore": "shared/gitignore",
        ".github/workflows/test.yml": "shared/workflow.yml",
        f"{names.package}/__init__.py": hooks,
        f"{names.package}/{layout.module}.py": f"{kind}/component.py",
        f"tests/test_{layout.module}.py": f"{kind}/test.py",
        "suite.yaml": f"{kind}/suite.yaml",
    }
    if kind is PackageKind.DATASET:
        paths["log.jsonl"] = f"{kind}/log.jsonl"
    return {path: f"{template}.jinja" for path, template in paths.items()}


def _options(kind: PackageKind, names: Names) -> str:
    """Returns the options with which ``robench run`` uses the component."""
    return f" --executor {names.name}" if kind is PackageKind.EXECUTOR else ""


def _write(folder: Path, files: dict[str, str]) -> None:
    """Writes files into a temporary folder, which is then renamed to ``folder``.

    Raises:
        OSError: if a file cannot be written, or if ``folder`` exists and is not empty.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for path, content in files.items():
            target = fresh / PurePosixPath(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8", newline="\n")
        fresh.chmod(0o755)
        fresh.rename(folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
