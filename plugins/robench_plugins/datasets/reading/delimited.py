"""Reads delimited text, such as CSV."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from robench.api import DataError
from robench.api.errors import counted
from robench_plugins.datasets.reading.advice import Advice
from robench_plugins.datasets.reading.opening import check_text, plain_suffix, read_content
from robench_plugins.datasets.reading.table import Table, check_names, equals, first_true, is_text
from robench_plugins.datasets.reading.text import line_of_row, rows_with_lines, split_quoted, to_utf8

SEPARATORS = ("\t", "::", ";", ",", "|")
BLANKS = " "  # one or more spaces or tabs
QUOTED = (",", ";", "|")  # the separators of files in which a cell may be quoted
MOST = 1 << 23  # bytes of a block, which holds whole rows
PIECE = 1 << 18  # bytes that fit into the cache of a processor
UNIT = b"\x1f"  # the character that replaces a separator of several characters
FOR_EXCEL = re.compile(r'"?sep=.?"?\s*', re.IGNORECASE)  # a first line that tells Excel the separator


@dataclass(frozen=True)
class Delimited:
    """The format of a delimited text file.

    Args:
        separator: the string between two cells. A space stands for any number of spaces and tabs. None chooses a tab
            for .tsv, .tab, .inter, .item and .user files, ``::`` for .dat files, and otherwise a comma.
        encoding: the encoding of the file.
        columns: the names of the columns if the file has no header, otherwise None.
        ids: the columns that hold ids. They are read as whole numbers if this keeps their spelling, and otherwise as
            dictionaries of strings.
        quotes: whether cells between commas, semicolons or bars may be quoted.
        whole: the columns that are read as int32 or int64 if every cell is such a number, and otherwise as strings.
        real: the columns that are read as float64 if every cell is a number, and otherwise as strings.
        advice: the settings that hints may name.
    """

    separator: str | None = None
    encoding: str = "utf-8"
    columns: tuple[str, ...] | None = None
    ids: tuple[str, ...] = ()
    quotes: bool = True
    whole: tuple[str, ...] = ()
    real: tuple[str, ...] = ()
    advice: Advice = field(default_factory=Advice)

    def named(self, number: int) -> str:
        """Returns a phrase that says where a number of columns comes from."""
        columns = counted(number, "column")
        if self.columns is None:
            return f"line 1, the header, names {columns}"
        return f"columns names {columns}" if "columns" in self.advice.settings else f"the format has {columns}"

    def separator_of(self, path: Path) -> str:
        """Returns the separator of a file.

        Raises:
            DataError: if the separator is empty, or holds a quote, a line break or a NUL.
        """
        if self.separator is not None:
            if not self.separator or any(sign in self.separator for sign in '"\r\n\0'):
                problem = f"separator {json.dumps(self.separator)} cannot separate cells"
                raise DataError(problem, where=str(path), hint="such as a comma, a semicolon or a space")
            return self.separator
        usual = {".tsv": "\t", ".tab": "\t", ".inter": "\t", ".item": "\t", ".user": "\t", ".dat": "::"}
        return usual.get(plain_suffix(path), ",")


def read_delimited(path: Path, form: Delimited) -> Table:
    """Returns the table in a delimited text file.

    Cells are strings. In the columns ``ids``, ``whole`` and ``real`` of the form, they may be numbers.

    Cells between commas, semicolons or bars may be quoted as in RFC 4180. In other files a quote is an ordinary
    character. Empty lines are skipped.

    Raises:
        DataError: if the file is not a table of this format, for example because it is empty, has a wrong encoding, has
            a stray quote or repeats its header.
    """
    separator = form.separator_of(path)
    raw = read_content(path)
    check_text(raw, path)
    content = to_utf8(raw, form.encoding, path, form.advice)
    del raw
    quoted = separator if form.quotes and separator in QUOTED and b'"' in content else None
    if quoted:
        _check_quotes(content, separator, path, form.advice)
    head = _first_row(content, separator, quoted, path)
    names = _column_names(head, form, separator, path)
    check_names(filter(None, names), f"{path}:1")
    header = 0 if form.columns is not None else 1

    def line_of(row: int) -> int:
        return line_of_row(content, row + header, quoted=quoted is not None)

    prepared, sign = _with_one_sign(content, separator, path)
    data = _parse(prepared, sign, names, header, form, quoted, path)
    table = Table(path, data, line_of, form.columns is None, form.advice)
    if not len(table):
        raise DataError("the file has a header and no rows", where=str(path))
    if header:
        _refuse_second_header(table, head)
    return table


def refuse_excel_line(line: str, path: Path) -> None:
    """Checks that a file does not begin with a line for Excel, such as ``sep=;``.

    Raises:
        DataError: if it is such a line.
    """
    if FOR_EXCEL.fullmatch(line):
        problem = f"the line {line.strip()} is for Excel, and not a row"
        raise DataError(problem, where=f"{path}:1", hint="remove the line")


def _refuse_second_header(table: Table, head: Sequence[str]) -> None:
    """Checks that no row repeats the header.

    Args:
        table: the table.
        head: the cells of the header. A header of one cell is not compared.

    Raises:
        DataError: if a row repeats the header.
    """
    rows = None
    for place, cell in enumerate(head):
        column = table.data.column(place)
        if len(head) == 1 or not is_text(column.type):
            return
        rows = equals(column, cell) if rows is None else pc.and_(rows, equals(column, cell))
        if (row := first_true(rows)) is None:
            return
    raise table.error("the row repeats the header", row, hint="if files were joined, keep the first header only")


def _first_row(content: bytes, separator: str, quoted: str | None, path: Path) -> list[str]:
    """Returns the cells of the first row.

    Raises:
        DataError: if the file has no rows, or begins with a line for Excel.
    """
    blank = " \t" if separator == BLANKS else ""
    rows = rows_with_lines(content, quoted is not None)
    line = next((text for _, text in rows if text.strip(blank)), None)
    if line is None:
        raise DataError("the file is empty", where=str(path))
    refuse_excel_line(line, path)
    if separator == BLANKS:
        return line.split()
    return split_quoted(line, separator) if quoted else line.split(separator)


def _column_names(head: Sequence[str], form: Delimited, separator: str, path: Path) -> list[str]:
    """Returns the names of the columns, from the header or the settings.

    Raises:
        DataError: if the first row has a different separator, or not one cell per name.
    """
    names = [name.strip() for name in head] if form.columns is None else list(form.columns)
    if len(head) == 1:
        other = next((sign for sign in SEPARATORS if sign != separator and sign in head[0]), None)
        if other is not None:
            what = "header" if form.columns is None else "first row"
            hint = form.advice.separator(other)
            problem = f"the {what} has no {json.dumps(separator)} between columns"
            raise DataError(problem, where=f"{path}:1", hint=hint)
    if len(names) != len(head):
        problem = f"{form.named(len(names))}, and the first row has {counted(len(head), 'cell')}"
        fitting = [sign for sign in SEPARATORS if len(separator.join(head).split(sign)) == len(names) > 1]
        hint = form.advice.separator(fitting[0]) if fitting else ""
        hint = hint or f"it begins with {', '.join(head[:4])}"
        raise DataError(problem, where=f"{path}:1", hint=hint)
    return names


def _check_quotes(content: bytes, separator: str, path: Path, advice: Advice) -> None:
    """Checks that quotes only enclose cells, or are doubled within a quoted cell.

    Raises:
        DataError: if there is any other quote, or if the last quoted cell does not end.
    """
    text = np.frombuffer(content, np.uint8)
    places = np.flatnonzero(text == ord('"'))
    edges = np.array([ord(separator), ord("\n"), ord("\r")], dtype=np.uint8)
    starts, ends = places[::2], places[1::2]
    before, after = text[np.maximum(starts - 1, 0)], text[np.minimum(ends + 1, len(text) - 1)]
    fine = (starts == 0) | np.isin(before, edges)
    fine[1:] |= starts[1:] == ends[: len(starts) - 1] + 1  # a doubled quote within a cell
    closed = (ends == len(text) - 1) | np.isin(after, edges)
    closed[: len(starts) - 1] |= (ends[: len(starts) - 1] + 1 == starts[1:]) if len(starts) > 1 else False
    wrong = [starts[~fine], starts[: len(ends)][~closed], starts[len(ends) :]]
    first = min((int(some[0]) for some in wrong if len(some)), default=None)
    if first is not None:
        line = content[:first].count(b"\n") + content[:first].count(b"\r") - content[:first].count(b"\r\n") + 1
        hint = 'double it ("") within a quoted cell'
        if "separator" in advice.settings:
            hint += ", or set separator if it is not a comma"
        raise DataError("a stray quote: its cell does not start and end with one", where=f"{path}:{line}", hint=hint)


def _with_one_sign(content: bytes, separator: str, path: Path) -> tuple[bytes, str]:
    """Replaces the separator in a text with a single byte, which pyarrow requires.

    If cells are separated by spaces, each run of spaces and tabs becomes one space. Spaces at the start and the end of
    a line are removed. A separator of several bytes becomes the character U+001F. Any other separator stays.

    Returns:
        The text, and the separator that it has now.

    Raises:
        DataError: if the separator has several bytes, and the text holds U+001F.
    """
    if separator == BLANKS:
        single = re.sub(rb"[ \t]+", b" ", content)
        return re.sub(rb"^ | $|(?<=[\r\n]) | (?=[\r\n])", b"", single), " "
    if len(separator.encode()) == 1:
        return content, separator
    if UNIT in content:
        raise DataError("the file holds the character U+001F, which robench needs itself", where=str(path))
    return content.replace(separator.encode(), UNIT), UNIT.decode()


def _parse(
    content: bytes, sign: str, names: Sequence[str], header: int, form: Delimited, quoted: str | None, path: Path
) -> pa.Table:
    """Returns the columns of a delimited text.

    Args:
        content: the text in UTF-8.
        sign: the separator, one byte.
        names: the names of the columns.
        header: the number of rows before the data, 1 if there is a header.
        form: the form of the file.
        quoted: a separator if cells may be quoted, otherwise None.
        path: the file, for messages.

    Raises:
        DataError: if the text is not a table, has no rows, or has rows of different lengths.
    """
    wrong: list[pa_csv.InvalidRow] = []

    def refuse(row: pa_csv.InvalidRow) -> str:
        wrong.append(row)
        return "error"

    coded = pa.dictionary(pa.int32(), pa.string())
    texts = {name: coded if name in form.ids else pa.string() for name in names}
    attempts = [texts]  # the types of the columns, of which the last that fits is used
    if not any(
        sign in content and b"0" + sign in content for sign in (b"x", b"X")
    ):  # pyarrow would read them as hexadecimal numbers
        usual = _has_usual_numbers(content, sign)
        for whole in (pa.int64(), pa.int32()):  # int32 needs less fresh memory, which takes longer than parsing
            numbers = dict.fromkeys(form.whole, whole) | dict.fromkeys(form.real, pa.float64())
            numbers |= dict.fromkeys(form.ids, whole if usual else coded)
            attempts.append(texts | {name: kind for name, kind in numbers.items() if name in names})
    parsing = pa_csv.ParseOptions(
        delimiter=sign,
        quote_char='"' if quoted else False,
        newlines_in_values=quoted is not None,
        ignore_empty_lines=True,
        invalid_row_handler=refuse,
    )
    start = len(content) - len(content.lstrip(b"\r\n"))  # pyarrow would skip an empty line in place of the header
    block = MOST
    while True:
        reading = pa_csv.ReadOptions(
            column_names=list(names), skip_rows_after_names=header, use_threads=False, block_size=block
        )
        converting = pa_csv.ConvertOptions(
            column_types=attempts[-1], null_values=[""], strings_can_be_null=False, check_utf8=False
        )
        try:
            text = pa.BufferReader(memoryview(content)[start:])
            # The default allocator of pyarrow takes up to .5 s longer for 20 million rows, because it asks for fresh
            # memory in larger parts.
            return pa_csv.read_csv(text, reading, parsing, converting, memory_pool=pa.system_memory_pool())
        except (pa.ArrowInvalid, pa.ArrowCapacityError) as error:
            if wrong:
                break
            problem = str(error).splitlines()[0]
            if "conversion error" in problem and len(attempts) > 1:
                attempts.pop()
            elif "straddling" in problem and block <= len(content):
                block *= 8
            elif "straddling" in problem:  # the header has no line break
                raise DataError("the file has a header and no rows", where=str(path)) from None
            else:
                raise DataError(f"not a table: {problem}", where=str(path)) from None
    row = wrong[0]
    line = line_of_row(content, int(row.number) - 1, quoted=quoted is not None) if row.number is not None else 1
    problem = f"a row of {counted(row.actual_columns, 'cell')}, and {form.named(row.expected_columns)}"
    raise DataError(problem, where=f"{path}:{line}")


def _has_usual_numbers(content: bytes, sign: str) -> bool:
    """Returns whether every whole number in a delimited text has its usual form.

    If so, ids can be read as numbers and then written in their original spelling. ``007``, ``-0`` and `` 7`` are
    examples of other forms. To be safe, the result is also False if there are spaces or tabs within cells.

    Args:
        content: the text.
        sign: the separator of the text, one byte.
    """
    if (b"-" in content and b"-0" in content) or content[:1] == b"0":
        return False
    if any(blank in content for blank in (b" ", b"\t") if blank != sign.encode()):
        return False
    text = np.frombuffer(content, np.uint8)
    edges = [ord(edge) for edge in (sign, "\n", "\r", '"') if edge.encode() in content]
    if not edges:
        return True  # a single cell, of which the first digit is checked above
    for start in range(0, len(text), PIECE):
        piece = text[start : start + PIECE + 2]
        wrong = piece[2:] - np.uint8(ord("0")) < 10  # the bytes before 0 wrap around
        wrong &= piece[1:-1] == ord("0")
        before = piece[:-2] == edges[0]
        for edge in edges[1:]:
            before |= piece[:-2] == edge
        if (wrong & before).any():
            return False
    return True
