"""Checks that robench reads the right log from Parquet files and JSON lines.

    python -m tools.faults.tables [--files 300] [--seed 0] [--keep DIR]

Each file holds a small random log. The files differ in types, names, nested values, encodings, compression and damage.
The allowed results and the options are those of ``tools/faults/files.py``. A column may have an unusual type, such as
fractions for ids. Robench may read such a file as written, or refuse it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import sys
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tools.faults.files import BEYOND, WORDS, Case, judge, main

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
TEXTS = ("string", "large_string", "string_view", "dictionary")
IDS = (*INTEGERS, *TEXTS, *TEXTS, "huge", "large_dictionary", "number_dictionary")
ODD_IDS = ("double", "decimal", "bool", "binary", "date")
RATINGS = (*INTEGERS, "float", "double", "halffloat", "decimal", "string", "none")
TIMES = (
    *("int32", "int64", "uint32", "uint64", "double", "decimal", "fine decimal", "string", "iso", "dictionary", "none"),
    *("s", "ms", "us", "ns", "zone", "int96", "date32", "date64", "old"),
)
ODD_TIMES = ("bool", "time32", "duration", "binary", "float")
SPARE = ("list", "struct", "map", "null", "bool", "binary", "nested")
PARQUET_DAMAGE = ("none",) * 30 + (
    *("cut", "no rows", "empty", "null user", "null rating", "null time", "nan rating", "nan time", "list item"),
    *("struct user", "two columns", "blank id", "text", "infinite rating"),
)
JSON_DAMAGE = ("none",) * 30 + (
    *("cut", "empty", "null user", "missing item", "missing rating", "null time", "NaN rating", "list item"),
    *("dict user", "key twice", "array", "comma", "surrogate", "blank id", "number", "word", "deep"),
)


def make_case(rng: random.Random) -> Case:
    """Returns a log of up to 60 rows in a Parquet file or as JSON lines."""
    return _parquet(rng) if rng.random() < 0.5 else _json_lines(rng)


def _parquet(rng: random.Random) -> Case:
    """Returns a log in a Parquet file."""
    n, damage = rng.randint(1, 60), rng.choice(PARQUET_DAMAGE)
    odd = rng.random() < 0.15 and damage == "none"
    kinds = {"user": rng.choice(IDS), "item": rng.choice(IDS), "rating": rng.choice(RATINGS), "time": rng.choice(TIMES)}
    if odd:
        which = rng.choice(("user", "item", "time"))
        kinds[which] = rng.choice(ODD_TIMES if which == "time" else ODD_IDS)
    users, user_names = _ids(kinds["user"], n, rng)
    items, item_names = _ids(kinds["item"], n, rng)
    stars, star_texts = _stars(kinds["rating"], n, rng)
    moments, exact = _moments(kinds["time"], n, rng)
    case = Case(list(zip(user_names, item_names, star_texts, exact, strict=True)))
    case.form = {"format": "parquet", "damage": "odd" if odd else damage, **kinds}
    columns: dict[str, Any] = {"user": users, "item": items}
    columns |= {} if stars is None else {"rating": stars}
    columns |= {} if moments is None else {rng.choice(("time", "timestamp")): moments}
    case.form["damage"] = _damage_columns(columns, case.form["damage"], rng)
    spare = rng.sample(SPARE, rng.randint(0, 2))
    columns |= {f"spare {kind}": _spare(kind, n) for kind in spare}
    columns = _renamed(columns, case, rng)
    names = rng.sample(list(columns), len(columns))
    arrays = [columns[name] for name in names]
    if damage == "two columns":
        names, arrays = [*names, names[0]], [*arrays, arrays[0]]
    table = pa.Table.from_arrays(arrays, names)
    if damage == "no rows":
        table = table.slice(0, 0)
    if rng.random() < 0.2 and not spare and damage != "two columns":
        table = table.replace_schema_metadata({b"pandas": b'{"index_columns": ["none"], "columns": []}'})
    stream = io.BytesIO()
    pq.write_table(
        table,
        stream,
        row_group_size=rng.choice((1, 7, 1000)),
        compression=rng.choice(("none", "snappy", "gzip", "zstd", "brotli", "lz4")),
        use_dictionary=rng.random() < 0.5,
        version=rng.choice(("2.6", "2.4")) if kinds["time"] != "ns" else "2.6",
        data_page_version=rng.choice(("1.0", "2.0")),
        use_deprecated_int96_timestamps=kinds["time"] == "int96",
        store_schema=rng.random() < 0.7,
    )
    content = {"empty": b"", "text": b"user,item\na,b\n"}.get(damage, stream.getvalue())
    if damage == "cut":
        content = content[: rng.randrange(1, len(content))]
    case.content, case.name = _packed(content, f"r{rng.choice(('.parquet', '.pq', '.PARQUET'))}", rng)
    return case


def _damage_columns(columns: dict[str, Any], damage: str, rng: random.Random) -> str:
    """Damages a column if the damage concerns one, and returns the damage.

    The result is ``none`` if the log lacks the column.
    """
    what, _, name = damage.partition(" ")
    time = next((one for one in columns if one.startswith("time")), "time")
    name = time if name == "time" else "user" if damage == "blank id" else name
    if damage in ("none", "odd", "cut", "no rows", "empty", "two columns", "text"):
        return damage
    if name not in columns:
        return "none"
    values = columns[name].to_pylist()
    place = rng.randrange(len(values))
    if what == "null":
        values[place] = None
        columns[name] = pa.array(values, columns[name].type)
    elif what in ("nan", "infinite"):
        numbers = [1.5] * len(values)
        numbers[place] = float("nan") if what == "nan" else float("inf")
        columns[name] = pa.array(numbers, pa.float64())
    elif what == "blank":
        texts = [str(value) for value in values]
        texts[place] = rng.choice(("", " ", "\t", "\xa0", "\n"))
        columns[name] = pa.array(texts)
    else:
        columns[name] = pa.array([[str(v)] for v in values] if what == "list" else [{"id": str(v)} for v in values])
    return damage


def _ids(kind: str, n: int, rng: random.Random) -> tuple[pa.Array, list[str]]:  # noqa: PLR0911  # one per kind
    """Returns a column of ids, and the same ids as strings."""
    numbers = [rng.randint(0, 100) for _ in range(n)]
    if kind in INTEGERS:
        least = 0 if kind.startswith("u") else -27
        return pa.array([least + number for number in numbers], kind), [str(least + number) for number in numbers]
    if kind == "huge":
        return pa.array([2**63 + number for number in numbers], "uint64"), [str(2**63 + number) for number in numbers]
    if kind == "double":
        return pa.array([number / 2 for number in numbers]), [str(number / 2) for number in numbers]
    if kind == "decimal":
        decimals = [Decimal(number) / 10 for number in numbers]
        return pa.array(decimals, pa.decimal128(9, 1)), [f"{number / 10:.1f}" for number in numbers]
    if kind == "bool":
        return pa.array([number % 2 == 0 for number in numbers]), [str(number % 2 == 0).lower() for number in numbers]
    if kind == "date":
        days = [date(2020, 1, 1) + timedelta(number) for number in numbers]
        return pa.array(days), [str(day) for day in days]
    if kind == "number_dictionary":
        return pa.array(numbers, "int64").dictionary_encode(), [str(number) for number in numbers]
    words = rng.sample((*WORDS, *BEYOND, 'say "hi"', "a,b", "\u200bx", " x"), 9)
    texts = [rng.choice(words) for _ in range(n)]
    if kind == "binary":
        return pa.array([text.encode() for text in texts]), texts
    if kind == "large_dictionary":
        return pa.array(texts, pa.large_string()).dictionary_encode(), texts
    column = pa.array(texts)
    return (column.dictionary_encode() if kind == "dictionary" else pa.array(texts, getattr(pa, kind)())), texts


def _stars(kind: str, n: int, rng: random.Random) -> tuple[pa.Array | None, list[str]]:
    """Returns a column of ratings or None, and the text of each rating."""
    stars = [rng.choice((0, 1, 2, 3.5, 4, 5)) for _ in range(n)]
    if kind == "none":
        return None, [""] * n
    if kind in INTEGERS:
        return pa.array([int(star) for star in stars], kind), [str(int(star)) for star in stars]
    if kind == "string":
        texts = [rng.choice((str(star), f" {star} ", f"+{star}", f"{star}e0")) for star in stars]
        return pa.array(texts), [str(star) for star in stars]
    if kind == "decimal":
        return pa.array([Decimal(str(star)) for star in stars], pa.decimal128(8, 3)), [str(star) for star in stars]
    shift = 0.0 if kind == "halffloat" else 0.1
    exact = np.array(stars) + shift
    values = exact.astype({"float": np.float32, "double": np.float64, "halffloat": np.float16}[kind])
    return pa.array(values), [repr(float(value)) for value in values]


def _moments(  # noqa: PLR0911  # one per kind
    kind: str, n: int, rng: random.Random
) -> tuple[pa.Array | None, list[Fraction | None]]:
    """Returns a column of times, and a number per row that orders the times.

    Without times, the column and the numbers are None.
    """
    numbers = [rng.randint(0, 40) for _ in range(n)]
    if kind == "none":
        return None, [None] * n
    exact: list[Fraction | None] = [Fraction(number) for number in numbers]
    big = [1_500_000_000 + number for number in numbers]
    if kind in ("int32", "int64", "uint32"):
        return pa.array(rng.choice((big, numbers)), kind), exact
    if kind == "uint64":
        return pa.array([rng.choice((2**63, 10**18)) * 0 + 2**63 + number for number in numbers], kind), exact
    if kind == "double":
        return pa.array([1.5e9 + number / 8 for number in numbers]), exact
    if kind == "float":
        return pa.array([number / 8 for number in numbers], "float32"), exact
    if kind in ("decimal", "fine decimal"):
        digits = 3 if kind == "decimal" else 25
        decimals = [Decimal(f"1500000000.{number:0{digits}d}") for number in numbers]
        return pa.array(decimals, pa.decimal256(40, digits) if digits > 3 else pa.decimal128(20, 3)), exact
    if kind in ("string", "dictionary"):
        column = pa.array([f"{number / 8}" for number in numbers])
        return column.dictionary_encode() if kind == "dictionary" else column, exact
    start = datetime(1650 if kind == "old" else 2015, 3, 1, tzinfo=UTC)
    days = [start + timedelta(number) for number in numbers]
    moments = [start + timedelta(seconds=number) for number in numbers]
    if kind == "iso":
        zone = timezone(timedelta(hours=rng.choice((-5, 0, 2))))
        return pa.array([moment.astimezone(zone).isoformat() for moment in moments]), exact
    if kind in ("date32", "date64"):
        return pa.array([day.date() for day in days], kind), exact
    if kind in ("s", "ms", "us", "ns", "zone", "int96", "old"):
        unit = {"zone": "us", "int96": "ns", "old": "us"}.get(kind, kind)
        ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        seconds = int((start - EPOCH).total_seconds())
        values = [seconds * ticks + number for number in numbers]
        zone = rng.choice(("UTC", "Europe/Berlin", "+05:30")) if kind == "zone" else None
        return pa.array(values, pa.int64()).cast(pa.timestamp(unit, zone)), exact
    odd = {
        "bool": lambda: pa.array([number > 20 for number in numbers]),
        "time32": lambda: pa.array(numbers, "int32").cast(pa.time32("s")),
        "duration": lambda: pa.array(numbers, "int64").cast(pa.duration("s")),
        "binary": lambda: pa.array([f"{number:03d}".encode() for number in numbers]),
    }
    return odd[kind](), [Fraction(number > 20) for number in numbers] if kind == "bool" else exact


def _spare(kind: str, n: int) -> pa.Array:
    """Returns a column that robench does not read."""
    makers: dict[str, Callable[[], pa.Array]] = {
        "list": lambda: pa.array([["a", None]] * n),
        "struct": lambda: pa.array([{"a": 1}] * n),
        "map": lambda: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int64())),
        "null": lambda: pa.nulls(n),
        "bool": lambda: pa.array([None] * n, pa.bool_()),
        "binary": lambda: pa.array([b"\xff\x00"] * n),
        "nested": lambda: pa.array([[[{"a": [1]}]]] * n),
    }
    return makers[kind]()


def _renamed(columns: dict[str, Any], case: Case, rng: random.Random) -> dict[str, Any]:
    """Returns the columns, some of them with new names.

    The settings of the case get the new names.
    """
    names = {}
    for name in columns:
        if rng.random() < 0.15 and not name.startswith("spare"):
            names[name] = rng.choice(("{} id", "Ünï{}", "{}.x", "{}:token")).format(name)
            case.settings["time" if name == "timestamp" else name] = names[name]
    return {names.get(name, name): column for name, column in columns.items()}


def _json_lines(rng: random.Random) -> Case:
    """Returns a log as JSON lines."""
    n, damage = rng.randint(1, 60), rng.choice(JSON_DAMAGE)
    kind = rng.choice(("seconds", "fraction", "big", "iso", "text", "none"))
    rated = rng.random() < 0.8
    numeric = {name: rng.choice(("int", "float", "huge", "text", "text")) for name in ("user", "item")}
    words = {name: rng.sample((*WORDS, *BEYOND, 'say "hi"', "a\\b", "a\tb", "{}"), 9) for name in numeric}
    single = damage not in ("NaN rating",) and rng.random() < 0.2
    if single:
        words = {name: [word for word in some if word in WORDS] or ["x"] for name, some in words.items()}
    objects: list[list[tuple[str, str]]] = []
    case = Case([])
    ascii_only = rng.random() < 0.4
    spares = rng.sample(('[1, {"a": null}]', '{"b": {"c": []}}', "null", "true", "1e999", '"\\u00e9"', "[]"), 2)
    for _ in range(n):
        ids, names = zip(*(_json_id(numeric[what], words[what], rng, ascii_only) for what in numeric), strict=True)
        star = rng.choice(("1", "2.5", "4e0", '"3"', "5.0", "-0.5"))
        time, exact = _json_time(kind, rng)
        pairs = [("user", ids[0]), ("item", ids[1])]
        pairs += [("rating", star)] if rated else []
        pairs += [("time", time)] if kind != "none" else []
        pairs += [(f"spare {place}", text) for place, text in enumerate(spares) if rng.random() < 0.6]
        objects.append(rng.sample(pairs, len(pairs)))
        case.rows.append((names[0], names[1], str(float(star.strip('"'))) if rated else "", exact))
    case.form = {"format": "json", "damage": damage, "time": kind, **numeric}
    _damage_objects(objects, case, rng)
    lines = [_object(pairs, rng) for pairs in objects]
    encoding = rng.choice(("latin-1", "cp1252")) if single else rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16"))
    text = _json_text(lines, case.form["damage"], rng)
    content = (text.rstrip() if case.form["damage"] == "cut" else text).encode(encoding)
    case.form["encoding"] = encoding
    if encoding != "utf-8" and (encoding != "utf-8-sig" or rng.random() < 0.5):
        case.settings["encoding"] = encoding
    if case.form["damage"] == "cut":
        content = content[: -rng.choice((1, 2, 5))]
    content = b"" if case.form["damage"] == "empty" else content
    case.content, case.name = _packed(content, f"r{rng.choice(('.jsonl', '.ndjson', '.json', '.JSONL'))}", rng)
    return case


def _json_id(kind: str, words: Sequence[str], rng: random.Random, ascii_only: bool) -> tuple[str, str]:
    """Returns an id in JSON, and the same id as a string."""
    if kind == "text":
        word = rng.choice(words)
        return json.dumps(word, ensure_ascii=ascii_only), word
    number = rng.randint(-5, 40)
    text = {"int": f"{number}", "float": f"{number}.0", "huge": f"{10**30 + number}"}[kind]
    return text, text


def _json_time(kind: str, rng: random.Random) -> tuple[str, Fraction | None]:
    number = rng.randint(0, 40)
    if kind == "none":
        return "", None
    moment = (datetime(2015, 3, 1, tzinfo=UTC) + timedelta(seconds=number)).isoformat()
    text = {
        "seconds": f"{1_500_000_000 + number}",
        "fraction": f"1500000000.{number:09d}",
        "big": f"{10**19 + number}",
        "iso": json.dumps(moment),
        "text": json.dumps(str(1_500_000_000 + number)),
    }[kind]
    return text, Fraction(number)


def _damage_objects(objects: list[list[tuple[str, str]]], case: Case, rng: random.Random) -> None:
    """Damages one random object if the case has a damage of single objects.

    The damage names a key. If the object does not have this key, the damage of the case becomes ``none``.
    """
    damage = case.form["damage"]
    what, _, name = damage.partition(" ")
    pairs = rng.choice(objects)
    values = {
        "null": "null",
        "missing": "",
        "NaN": rng.choice(("NaN", "Infinity", "-Infinity")),
        "list": '["a"]',
        "dict": '{"id": 1}',
        "surrogate": '"\\ud83d"',
        "blank": rng.choice(('""', '" "', '"\\u00a0"', '"a\\nb"', '"a\\u0000"')),
        "deep": "[" * 3000 + "]" * 3000,
    }
    if damage == "key twice":
        pairs.append(pairs[0])
    elif what in values:
        name = {"surrogate": "user", "blank id": "item", "deep": "user"}.get(damage, name)
        if name not in dict(pairs):
            case.form["damage"] = "none"
        else:
            place = [key for key, _ in pairs].index(name)
            pairs[place] = (name, values[what])
            if what == "missing":
                del pairs[place]


def _object(pairs: Sequence[tuple[str, str]], rng: random.Random) -> str:
    colon, comma = rng.choice(((":", ","), (": ", ", "), (" :\t", " , ")))
    return "{" + comma.join(f"{json.dumps(name)}{colon}{value}" for name, value in pairs) + "}"


def _json_text(lines: list[str], damage: str, rng: random.Random) -> str:
    """Joins the lines with random blanks, blank lines and line ends.

    Some damages of the whole text are made here.
    """
    place = rng.randrange(len(lines))
    lines = [rng.choice(("", "", " ", "\t")) + line + rng.choice(("", "", " ")) for line in lines]
    if damage == "array":
        return "[" + ",\n".join(lines) + "]\n"
    lines[place] += {"comma": ",", "number": "\n17", "word": " x"}.get(damage, "")
    for _ in range(rng.choice((0, 0, 1, 3))):
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(("", "  ", "\t")))
    end = rng.choice(("\n", "\n", "\r\n", "\r"))
    return end.join(lines) + rng.choice((end, "", end * 3))


def _packed(content: bytes, name: str, rng: random.Random) -> tuple[bytes, str]:
    """Returns the content and the name of a file, which may be compressed at random."""
    way = rng.choice(("",) * 8 + (".gz", ".bz2", ".xz", ".zst", ".zip"))
    if way == ".zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(name, content)
        return stream.getvalue(), name + way
    packers: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
    }
    return packers[way](content), name + way


if __name__ == "__main__":
    sys.exit(main(make_case, __doc__, judge))
