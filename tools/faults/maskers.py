"""Ranks planted defences and models on MovieLens latest-small.

    python tools/faults/maskers.py [--models mf lstm sasrec] [--users 0 450] [--attack auto] [--keep DIR]
                                   [--surface embedding]

The suite has the false wrappers, the honest wrappers and the false models of ``masking.py``, and four defences that
change the training only. A row with a false wrapper or model must have the expected flags and no rank. No other row may
fail a check. ``--users 0`` evaluates all users. With ``--surface parameters``, the false wrappers are those that
deceive attacks on tables. The script prints one line per row, and exits with 1 if a row is wrong. A quick attack such
as ``pgd`` shows the same flags in less time, because the checks do not depend on the attack.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "benchmark"), str(ROOT / "plugins")]
from masking import (  # noqa: E402  # in the folder of this script
    FALSE_MODELS,
    FALSE_TABLES,
    FALSE_WRAPS,
    FLAGS,
    HONEST_WRAPS,
    TABLE_FLAG,
)

from robench.tables.checks import CHECKS  # noqa: E402  # from this checkout

EXPECTED = {**FLAGS, **{name: {TABLE_FLAG} for name in FALSE_TABLES}}
BYPASS = "scores bypass the inputs"  # the flag of every false model


WRAPS = {
    "embedding": [*FALSE_WRAPS, *HONEST_WRAPS],
    # "projected" is left out: it leaves the tables out of its gradient, so it is not an honest victim of these attacks.
    "parameters": [*FALSE_TABLES, *(name for name in HONEST_WRAPS if name != "projected")],
}
TRAINED = [
    {"name": "adversarial-training", "norm": "l2", "epsilon": 0.05, "loss": "hinge"},
    {"name": "apr", "scale": "relative", "epsilon": 0.2},
    {"name": "vat", "epsilon": 0.2},
    {"name": "gaussian", "epsilon": 0.4},
]


def suite(models: list[str], users: int, attack: str, surface: str = "embedding") -> str:
    """Returns the text of a suite with the planted defences and models.

    Args:
        models: the names of the built-in models.
        users: the number of evaluated users, or 0 for all.
        attack: the name of the attack.
        surface: the surface of the attack, ``embedding`` or ``parameters``.
    """
    names = [*WRAPS[surface], *(defense["name"] for defense in TRAINED)]
    content = {
        "name": f"maskers-{users or 'all'}",
        "seeds": [0],
        "datasets": [{"name": "movielens-small", "min_user_interactions": 5, "min_item_interactions": 20}],
        "models": ["popularity", *models, *FALSE_MODELS],
        "defenses": ["none", *WRAPS[surface], *TRAINED],
        "attacks": [{"name": attack, "surface": surface, "norm": "l2", "epsilon": 0.05}],
        "ranking": [{"surface": surface, "norm": "l2", "metric": "ndcg@10", "epsilon": 0.05}],
        "exclude": [{"model": ["popularity", *FALSE_MODELS], "defense": names}],
        **({"users": {"sample": users, "seed": 0}} if users else {}),
    }
    return json.dumps(content, indent=1)  # JSON is YAML


def board(place: Path, text: str) -> list[dict[str, Any]]:
    """Runs a suite in the folder ``place``, and returns the rows of the leaderboard."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "maskers.yaml").write_text(text)
    sources = os.pathsep.join(map(str, (ROOT / "benchmark", ROOT / "plugins", HERE)))
    env = {"ROBENCH_CACHE": str(place / "cache"), **os.environ, "PYTHONPATH": sources, "ROBENCH_PLUGINS": "masking"}
    command = [sys.executable, "-m", "robench", "run", "maskers.yaml", "--workers", "1"]
    with (place / "log").open("wb") as log:
        subprocess.run(command, cwd=place, env=env, stdout=log, stderr=log, check=True)
    (path,) = (place / "results").glob("*/leaderboard.json")
    (table,) = json.loads(path.read_text("utf-8"))["tables"]
    return list(table["rows"])


def problems(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Prints every row, and yields a sentence for each mistake in a row."""
    checks = {check.flag for check in CHECKS} | {"scores hardly move", "not checked"}
    for row in rows:
        flags = set(filter(None, row["flags"].split("; ")))
        model, defense = (row[part].rpartition("/")[2] for part in ("model", "defense"))  # without the owner
        name = f"{model} {defense}"
        print(f"  {row['rank'] or '-':>4} {name:40} drop {_percent(row)} p {row['p_value']} {row['flags']}", flush=True)
        expected = {BYPASS} if model in FALSE_MODELS else EXPECTED.get(defense, set())
        if expected and row["rank"] is not None:
            yield f"{name} is ranked"
        if not expected <= flags:
            yield f"{name} has no flag {', '.join(sorted(expected - flags))}"
        if not expected and checks & flags:
            yield f"{name} is honest and has the flag {', '.join(sorted(checks & flags))}"


def _percent(row: Mapping[str, Any]) -> str:
    return "   –" if row["drop"] is None else f"{100 * row['drop']:4.1f}%"


def main() -> int:
    """Runs the suites, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["mf", "lstm", "sasrec"])
    parser.add_argument("--users", nargs="+", type=int, default=[0, 450])
    parser.add_argument("--attack", default="auto")
    parser.add_argument("--surface", choices=WRAPS, default="embedding")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        for users in given.users:
            print(f"{users or 'all'} users")
            place = (given.keep or Path(temporary)) / str(users)
            wrong += problems(board(place, suite(given.models, users, given.attack, given.surface)))
    print(*wrong, f"{len(wrong)} wrong", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
