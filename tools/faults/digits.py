"""Changes one digit or one bit in each file of published results.

    python tools/faults/digits.py [--results results] [--edits 2] [--seed 0] [SUITE ...]

The script counts how often ``robench verify`` finds an edit. Each edit is made in a copy of a packed folder, and no
cell is measured again. The script prints a line per suite and per file. The exit code is 1 if an edit was not found, or
if a folder has a problem before any edit.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmark"), str(ROOT / "plugins")]

from robench.api.errors import UserError  # noqa: E402  # from the tree of this script
from robench.verify.folder import verify_folder  # noqa: E402
from robench.verify.rerun import Sample  # noqa: E402


def edit(path: Path, rng: random.Random) -> None:
    """Changes one digit of a text file, or one bit of an npz file."""
    data = bytearray(path.read_bytes())
    if path.suffix == ".npz":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    else:
        place = rng.choice([place for place, byte in enumerate(data) if byte in b"0123456789"])
        data[place] = rng.choice([byte for byte in b"0123456789" if byte != data[place]])
    path.write_bytes(data)


def is_found(folder: Path) -> bool:
    """Returns whether the verification of a folder fails or lists a problem."""
    try:
        return bool(verify_folder(folder, Sample(0)).problems)
    except UserError:
        return True


def main() -> int:
    """Edits the files of every suite, and returns the exit code."""
    parser = argparse.ArgumentParser(description="Edits one digit at a time in published results.")
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--edits", type=int, default=2, help="of each kind of file")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, missed, total = random.Random(options.seed), 0, 0
    suites = options.suites or sorted(path.parent.name for path in options.results.glob("*/MANIFEST.json"))
    with tempfile.TemporaryDirectory() as place:
        for suite in suites:
            source, start = options.results / suite, time.process_time()
            if is_found(source):
                print(f"{suite}: differs before any edit")
                return 1
            print(f"{suite}: verified in {time.process_time() - start:.1f} s of CPU", flush=True)
            for name in sorted(path.name for path in source.iterdir() if path.is_file()):
                found = 0
                for number in range(options.edits):
                    copy = shutil.copytree(source, Path(place) / f"{suite}-{name}-{number}")
                    edit(copy / name, rng)
                    found += is_found(copy)
                    shutil.rmtree(copy)
                missed, total = missed + options.edits - found, total + options.edits
                print(f"  {name}: {found} of {options.edits} found", flush=True)
    print(f"{total - missed} of {total} edits found")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
