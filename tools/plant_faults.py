"""Plants faults in a copy of the source, and runs the tests against each fault.

    python -m tools.plant_faults [--tree .] [--faults tools/faults.yaml] [--results build/faults.jsonl] [NAME ...]

One fault is planted at a time. A fault is a small edit that a careless change could make, such as a wrong sign, a wrong
bound or a dropped check. A fault that no test detects is a gap in the tests. Each line of ``--results`` holds one
outcome. A fault with a stored outcome is planted again only if its edit or its tests change. So a run can be
interrupted. The exit code is 1 if a fault survived or could not be tested.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

SECONDS = 900  # the most seconds for one selection of tests; a fault that makes the tests hang counts as detected
PRELOADED = ("torch", "pandas", "scipy.stats", "sklearn.linear_model", "sympy", "transformers")


@dataclass(frozen=True)
class Fault:
    """A small edit, and the tests that must detect the edit.

    Args:
        name: A unique name.
        why: The effect of the edit for a user.
        file: The path of the file in the tree.
        text: The text to replace, which occurs once in the file.
        fault: The text that replaces ``text``.
        tests: Paths or node ids, in the order in which pytest runs them.
    """

    name: str
    why: str
    file: str
    text: str
    fault: str
    tests: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The hash of the edit and its tests, without the name and the explanation."""
        content = [self.file, self.text, self.fault, self.tests]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Outcome:
    """The outcome of the tests for a fault.

    The outcome is ``killed``, ``survived``, ``hung``, or ``void`` if the tests could not run.
    """

    name: str
    digest: str
    outcome: str
    test: str
    seconds: float


class FirstFailure:
    """A pytest plugin that records the first failing test."""

    test = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.test:
            self.test = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.test:
            self.test = f"collection of {report.nodeid}"


class Tree:
    """A copy of a source tree, in which a fault can be planted and removed."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source, self.folder = source, folder
        self.clock = int(time.time())
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=source, capture_output=True, check=True, text=True)
        for name in filter(None, listing.stdout.split("\0")):
            if not name.startswith("results/") and (source / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / name, folder / name)
        (folder / "results").symlink_to(source / "results")

    def write(self, name: str, text: str) -> None:
        """Writes a file with a new modification time.

        Python detects stale byte code by the time and the size of the source file.
        """
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        self.clock += 2
        os.utime(path, (self.clock, self.clock))

    def faulty(self, fault: Fault) -> str | None:
        """Returns the file's text with the fault.

        Returns:
            The text, or None if the text to replace does not occur once.
        """
        path = self.source / fault.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return text.replace(fault.text, fault.fault) if text.count(fault.text) == 1 else None

    def run(self, tests: tuple[str, ...], log: Path) -> tuple[int | None, str]:
        """Runs tests in a forked process.

        Returns:
            Pytest's exit code, or None if the tests hung, and the first failing test.
        """
        note = log.with_suffix(".test")
        note.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            code = int(pytest.ExitCode.INTERNAL_ERROR)
            try:
                code = self._child(tests, log, note)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        deadline = time.monotonic() + SECONDS
        while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < deadline:
            time.sleep(0.2)
        if not ended[0]:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None, ""
        return os.waitstatus_to_exitcode(ended[1]), note.read_text() if note.exists() else ""

    def _child(self, tests: tuple[str, ...], log: Path, note: Path) -> int:
        """Runs pytest in a separate process group, and returns its exit code."""
        os.setsid()
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(self.folder)
        sources = [str(self.folder / part) for part in ("benchmark", "plugins")]
        sys.path[:0] = [str(self.folder), *sources]
        os.environ["PYTHONPATH"] = os.pathsep.join(sources)
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # some plugins' modules are imported already
        first = FirstFailure()
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests], plugins=[first])
        note.write_text(first.test)
        return int(code)


def plant(tree: Tree, fault: Fault, log: Path) -> Outcome:
    """Plants one fault, runs its tests, and removes the fault.

    The test that detects the fault runs again without the fault, and must pass then.
    """
    start = time.monotonic()

    def outcome(word: str, test: str = "") -> Outcome:
        return Outcome(fault.name, fault.digest, word, test, round(time.monotonic() - start, 1))

    if (text := tree.faulty(fault)) is None:
        return outcome("void", "the text to replace does not occur once")
    genuine = (tree.source / fault.file).read_text(encoding="utf-8")
    tree.write(fault.file, text)
    try:
        code, test = tree.run(fault.tests, log)
    finally:
        tree.write(fault.file, genuine)
    if code is None:
        return outcome("hung")
    if code == pytest.ExitCode.OK:
        return outcome("survived")
    if code != pytest.ExitCode.TESTS_FAILED:
        return outcome("void", f"pytest ended with {code}: {test}")
    if tree.run((test,), log.with_suffix(".again"))[0] != pytest.ExitCode.OK:
        return outcome("void", f"fails without the fault, too: {test}")
    return outcome("killed", test)


def outcomes(tree: Tree, faults: list[Fault], results: Path) -> Iterator[Outcome]:
    """Yields one outcome per fault.

    New outcomes are added to the file ``results``.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    known = {line["name"]: Outcome(**line) for line in map(json.loads, lines)}
    for fault in faults:
        stored = known.get(fault.name)
        if stored is not None and stored.digest == fault.digest:
            yield stored
            continue
        made = plant(tree, fault, results.with_suffix(".log"))
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(made), ensure_ascii=False) + "\n")
        print(f"{made.outcome:9} {made.name:40} {made.seconds:6.1f} s  {made.test}", flush=True)
        yield made


def load(path: Path, names: list[str]) -> list[Fault]:
    """Returns the faults of a file, or only those with the given names."""
    entries: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    faults = [Fault(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]
    return [fault for fault in faults if not names or fault.name in names]


def main() -> int:
    """Plants the faults, prints the counts of outcomes, and returns the exit code."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description="Plants faults, and runs the tests that must see them.")
    parser.add_argument("names", nargs="*", help="faults to plant; all if there is none")
    parser.add_argument("--tree", type=Path, default=root, help="the source tree, a git checkout")
    parser.add_argument("--faults", type=Path, default=root / "tools" / "faults.yaml")
    parser.add_argument("--results", type=Path, default=root / "build" / "faults.jsonl")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in PRELOADED:  # forked processes then need no time to import these modules
        try:
            __import__(name)
        except ImportError:
            print(f"{name} is not installed", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(options.tree.resolve(), Path(folder))
        found = list(outcomes(tree, load(options.faults, options.names), options.results.resolve()))
    counts = Counter(one.outcome for one in found)
    print(", ".join(f"{count} {word}" for word, count in sorted(counts.items())))
    return int(set(counts) - {"killed", "hung"} != set())


if __name__ == "__main__":
    sys.exit(main())
