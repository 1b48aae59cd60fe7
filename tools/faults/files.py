"""Checks that robench reads the right log from files of many forms.

    python -m tools.faults.files [--files 300] [--seed 0] [--keep DIR]

Each file holds a small random log. The files differ in separators, quotes, encodings, line endings, headers, forms of
ids and times, compression, and damage. These results are allowed:

- An undamaged file is read. The users, the items, the ratings and the exact order of times are those of the log.
- A damaged file is refused with a message of one line that names the file.
- A file with a stray quote or bad bytes is read, with as many rows as the log.

Any other result is a fault. The exit code is 1 if there is a fault.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import gzip
import io
import lzma
import random
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa

from robench.api import Ratings
from robench.api.errors import UserError
from robench_plugins.datasets.csv_file import CsvFile

WORDS = ("café", "naïve", "x'y", "a b", "ß", "007", "7", "7.0", "A", "a", "-1", "9" * 25, "NA", "null", "1e5")
BEYOND = ("Фильм", "映画", "e\u0301", "a\u2028b", "a\x0cb", "\U0001f3ac")
START = datetime(2015, 3, 1, tzinfo=UTC)
DAMAGES = ("none",) * 8 + (
    "short row",
    "long row",
    "stray quote",
    "cut",
    "nul",
    "bad byte",
    "rating",
    "time",
    "empty id",
)


@dataclass
class Case:
    """A random log, a file that holds the log, and the settings for reading it."""

    rows: list[tuple[str, str, str, Fraction | None]]
    times: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)
    name: str = "r.csv"
    content: bytes = b""

    @property
    def damaged(self) -> bool:
        """True if the file is damaged, or if a column has an unusual type.

        Robench may refuse such a file.
        """
        return self.form["damage"] != "none"


def make_case(rng: random.Random) -> Case:
    """Returns a log of up to 60 rows in a random form."""
    encoding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le"))
    separator = rng.choice((",", ",", ",", ";", "|", "\t", "::", " "))
    words = [word for word in WORDS if separator not in word] + (list(BEYOND) if encoding.startswith("utf") else [])
    if separator == " ":
        words = [word for word in words if len(word.split()) == 1]
    plain = rng.random() < 0.4
    users, items = (
        [str(n) for n in rng.sample(range(1, 200), 9)] if plain else rng.sample(words, min(9, len(words))) for _ in "ui"
    )
    n = rng.randint(1, 60)
    quoted = separator in ",;|" and rng.random() < 0.4
    if quoted and not plain:
        users += ['say "hi"']
    case = Case([])
    kind = rng.choice(("seconds", "fraction", "normal", "milliseconds", "nanoseconds", "iso", "zones", "big", "none"))
    case.form = {"encoding": encoding, "separator": separator, "time": kind, "damage": rng.choice(DAMAGES)}
    stamps = [_time(kind, rng, separator) for _ in range(n)]
    case.times = [text for text, _ in stamps]
    stars = [str(rng.choice((1, 2.5, 4, 5.0, ".5", "3e0", "+2"))) for _ in range(n)]
    picks = zip(stars, stamps, strict=True)
    case.rows = [(rng.choice(users), rng.choice(items), star, stamp[1]) for star, stamp in picks]
    _write(case, rng, quoted=quoted, encoding=encoding, separator=separator)
    return case


def _time(kind: str, rng: random.Random, separator: str) -> tuple[str, Fraction | None]:
    """Returns the text of a random time, and a number that orders the times of a log.

    If the log has no times, the text is empty and the number is None.
    """
    if kind == "none":
        return "", None
    number = rng.randint(0, 40)
    if kind in ("iso", "zones"):
        moment = START + timedelta(seconds=number, microseconds=rng.choice((0, 0, 250_000)))
        hours = rng.choice((-5, 0, 2)) if kind == "zones" else 0
        text = moment.astimezone(timezone(timedelta(hours=hours))).isoformat()
        if kind == "iso":
            text = text.removesuffix("+00:00").replace("T", rng.choice("T ") if separator != " " else "T")
        return text, Fraction(int((moment - START) / timedelta(microseconds=1)))
    text = {
        "seconds": f"{1_500_000_000 + number}",
        "fraction": f"1500000000.{number:0{rng.choice((2, 6, 9, 14))}d}",
        "normal": f"0.{number:0{rng.choice((2, 6, 9, 18))}d}",
        "milliseconds": f"{1_500_000_000_000 + number}",
        "nanoseconds": f"{1_500_000_000_000_000_000 + number}",
        "big": f"{9_300_000_000_000_000_000 + number}",
    }[kind]
    return text, Fraction(text)


def _write(case: Case, rng: random.Random, *, quoted: bool, encoding: str, separator: str) -> None:
    """Sets the file name, the content, the form and the settings of a case.

    The content holds the rows of the case.
    """
    names = ["user", "item", "rating"] + (["time"] if case.form["time"] != "none" else [])
    order = rng.sample(names, len(names))
    spare = rng.random() < 0.3 and separator != " "
    header = rng.random() < 0.75
    cells = [dict(zip(("user", "item", "rating"), row[:3], strict=True)) for row in case.rows]
    table = []
    for row, time in zip(cells, case.times, strict=True):
        values = row | {"time": time}
        table.append(([""] if spare else []) + [values[name] for name in order])
    head = ([rng.choice(("", "note"))] if spare else []) + order
    decimal = "," if separator == ";" and case.form["time"] in ("none", "seconds") and rng.random() < 0.5 else "."
    if decimal == ",":
        place = head.index("rating")
        table = [[cell.replace(".", ",") if i == place else cell for i, cell in enumerate(row)] for row in table]
        case.settings["decimal"] = ","
    lines = [_line(row, separator, rng, quoted=quoted) for row in ([head] if header else []) + table]
    lines = _damage(case, lines, separator, rng, first=int(header))
    if not header:
        case.settings |= {"header": False, "columns": [name or "spare" for name in head]}
        case.form["header"] = "none"
    ends = rng.choice(("\n", "\n", "\r\n", "\r", "mixed"))
    text = "".join(line + (rng.choice(("\n", "\r\n", "\r")) if ends == "mixed" else ends) for line in lines)
    if rng.random() < 0.2:
        text = text.rstrip("\r\n")
    if rng.random() < 0.2 and ends in ("\n", "\r\n"):
        text = ends + text.replace(ends, ends + ends)
    case.form["ends"] = repr(ends)
    content = text.encode(encoding)
    case.settings |= {"encoding": encoding} if encoding != "utf-8-sig" or rng.random() < 0.5 else {}
    usual = {"\t": ".tsv", "::": ".dat"}.get(separator, ".csv")
    if separator != "," and (usual == ".csv" or rng.random() < 0.5):
        case.settings["separator"] = separator
        usual = ".txt"
    case.content, case.name = _pack(case, content, f"r{usual}", rng)


def _line(cells: list[str], separator: str, rng: random.Random, *, quoted: bool) -> str:
    if quoted:
        stream = io.StringIO()
        style = rng.choice((csv.QUOTE_ALL, csv.QUOTE_MINIMAL))
        csv.writer(stream, delimiter=separator, quoting=style, lineterminator="").writerow(cells)
        return stream.getvalue()
    if separator == " ":
        return rng.choice(("", " ", "\t")) + rng.choice((" ", "  ", " \t")).join(cells) + rng.choice(("", " "))
    return separator.join(cells)


def _damage(case: Case, lines: list[str], separator: str, rng: random.Random, first: int) -> list[str]:
    """Returns the lines, after damage to a random line.

    The lines do not change if the damage of the case does not concern a line.
    """
    row = rng.randrange(first, len(lines))
    sign = " " if separator == " " else separator
    line = lines[row]
    if case.form["damage"] == "short row":
        lines[row] = line.rstrip(" ").rpartition(sign)[0].strip(" ") or "x"
    elif case.form["damage"] == "long row":
        lines[row] = f"{line.rstrip()}{sign}extra{sign}more"
    elif case.form["damage"] == "stray quote":
        lines[row] = line[: len(line) // 2] + '"' + line[len(line) // 2 :]
    elif case.form["damage"] == "nul":
        lines[row] = line + "\0"
    elif case.form["damage"] in ("rating", "time"):
        old = case.rows[row - first][2] if case.form["damage"] == "rating" else case.times[row - first]
        old = old.replace(".", str(case.settings.get("decimal", "."))) if case.form["damage"] == "rating" else old
        lines[row] = line.replace(old, "good") if old else line + "\0"
    elif case.form["damage"] == "empty id":
        lines[row] = sign.join([""] * (len(line.split(sign))))
        lines[row] = lines[row] if lines[row].strip() else "x"
    return lines


def _pack(case: Case, content: bytes, name: str, rng: random.Random) -> tuple[bytes, str]:
    """Returns the content and the name of the file, after random compression.

    The damages ``bad byte`` and ``cut`` are made here.
    """
    if case.form["damage"] == "bad byte":
        content += b"\x81\xff\xfe\x00"
    way = rng.choice(("",) * 6 + (".gz", ".bz2", ".xz", ".zst", ".zip", "two streams"))
    case.form["compression"] = way or "none"
    half = len(content) // 2
    packed = content
    if way == "two streams":
        packed, way = gzip.compress(content[:half]) + gzip.compress(content[half:]), ".gz"
    elif way == ".zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
            archive.writestr("__MACOSX/._" + name, b"x")
        packed = buffer.getvalue()
    elif way:
        packed = {
            ".gz": gzip.compress,
            ".bz2": bz2.compress,
            ".xz": lzma.compress,
            ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
        }[way](content)
    if case.form["damage"] == "cut":
        if way:
            packed = packed[: rng.randint(1, len(packed) - 1)]
        else:
            packed, name = gzip.compress(content)[:-4], name + ".gz"
    return packed, name + way


def judge(case: Case, folder: Path) -> str:  # noqa: PLR0911  # one per outcome
    """Returns what is wrong with the reading of a case, or an empty string."""
    path = folder / case.name
    path.write_bytes(case.content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ratings = CsvFile.make(path=path, **case.settings).load()
    except UserError as error:
        message = str(error)
        if "\n" in message or str(path) not in message:
            return f"not one line with the file: {message!r}"
        return "" if case.damaged else f"refused: {message}"
    except Exception:  # a bug, which is shown
        return traceback.format_exc()
    if case.form["damage"] == "odd":
        return find_difference(case.rows, ratings)
    if case.damaged and case.form["damage"] not in ("stray quote", "bad byte"):
        return "damage was not seen"
    if case.damaged:
        return "" if len(ratings.users) == len(case.rows) else "rows were lost"
    return find_difference(case.rows, ratings)


def find_difference(rows: Sequence[tuple[str, str, str, Fraction | None]], ratings: Ratings) -> str:
    """Returns a note on the first column that differs, or an empty string."""
    users, items, stars, exact = (list(column) for column in zip(*rows, strict=True))
    columns = {
        "users": (ratings.users.tolist(), users),
        "items": (ratings.items.tolist(), items),
        "ratings": (
            None if ratings.ratings is None else ratings.ratings.tolist(),
            list(map(float, stars)) if stars[0] else None,
        ),
        "order of times": (
            None if ratings.times is None else _ranks(ratings.times.tolist()),
            None if exact[0] is None else _ranks(exact),
        ),
    }
    return next((f"other {name}" for name, (got, expected) in columns.items() if got != expected), "")


def _ranks(values: list[Any]) -> list[int]:
    places = {value: rank for rank, value in enumerate(sorted(set(values)))}
    return [places[value] for value in values]


def main(make: Callable[[random.Random], Any], description: str | None, judge: Callable[[Any, Path], str]) -> int:
    """Judges random cases, prints the faults, and returns the exit code.

    Args:
        make: a function that makes a case from random numbers.
        description: the help text of the command.
        judge: a function that reads a case in a folder. It returns what is wrong, or an empty string.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=None, help="folder for the files with faults")
    given = parser.parse_args()
    faults, seen = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.files):
            case = make(random.Random(f"{given.seed}/{number}"))
            problem = judge(case, Path(folder))
            seen["damaged" if case.damaged else "read"] += 1
            if problem:
                faults += 1
                print(f"{given.seed}/{number} {case.name} {case.form} {case.settings}: {problem}")
                if given.keep is not None:
                    given.keep.mkdir(parents=True, exist_ok=True)
                    (given.keep / f"{number}-{case.name}").write_bytes(case.content)
    print(f"{given.files} files ({seen['damaged']} damaged), {faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(make_case, __doc__, judge))
