"""Prints the results of a search.

    python tools/perf/tuning.py results/tuning-movielens-small

The script reads the validation NDCG@10 of every trial from the records, but no test metric. The trials of each model
are printed best first. The exit code is 1 if models have different numbers of trials.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from robench.store.folder import Store
from robench.store.plan_file import read_plan


def main(folder: Path) -> int:
    store, trials = Store(folder), defaultdict(list)
    for cell in read_plan(folder).cells:
        record = store.read(cell.cell)
        if cell.key.model != "popularity" and record is not None:
            label = cell.key.model_label.partition("[")[0]
            found = record["fit"]["validation_ndcg@10"], record["passed"]["model"], record["fit_seconds"]
            trials[label].append(found)
    for label, found in trials.items():
        print(f"\n{label}: {len(found)} trials")
        for ndcg, settings, seconds in sorted(found, key=lambda trial: -trial[0]):
            shown = {name: value for name, value in settings.items() if name not in ("name", "label")}
            print(f"  {ndcg:.4f}  {json.dumps(shown)}  {seconds:.0f} s")
    return int(len({len(found) for found in trials.values()}) > 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
