"""Reads the text of a file as UTF-8 bytes and finds the line of a row."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path

from robench.api import DataError
from robench_plugins.datasets.reading.advice import Advice

BLOCK = 1 << 24
ENCODINGS = "such as utf-8, latin-1, cp1252 or utf-16"
UTF8 = ("utf-8", "utf_8", "utf8")
# The byte order marks and their encodings. The marks of UTF-32 come first, because they begin with those of UTF-16.
BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
INNER_MARK = re.compile(rb"(?:^|[\r\n])(\xef\xbb\xbf)")  # a mark of UTF-8 at the start of a line


def find_encoding(name: str) -> codecs.CodecInfo | None:
    """Returns the text encoding with this name, or None if there is no such encoding.

    Encodings of escape sequences, such as ``unicode-escape``, do not count.
    """
    try:
        "".encode(name)  # refuses codecs that are not encodings of text
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    return None if codec.name.replace("_", "-").endswith("unicode-escape") else codec


def _wide(advice: Advice) -> str:
    return f"is it UTF-16? {advice.encoding('utf-16-le', 'utf-16-be')}"


def to_utf8(content: bytes, encoding: str, path: Path, advice: Advice | None = None) -> bytes:
    """Returns the content of a text file as UTF-8, without a byte order mark.

    Args:
        content: the bytes of a file.
        encoding: the encoding of the file.
        path: the file, for messages.
        advice: the settings that hints may name.

    Raises:
        DataError: if the encoding does not exist, if the bytes are not valid in it, or if the text contains a NUL, or a
            byte order mark at the start of a line. An encoding with one byte per character accepts nearly all bytes, so
            it is refused if the bytes are UTF-8.
    """
    advice = advice or Advice()
    codec = find_encoding(encoding)
    if codec is None:
        raise DataError(f"no encoding is called '{encoding}'", where=str(path), hint=ENCODINGS)
    mark = next((name for bom, name in BOMS.items() if content.startswith(bom)), "")
    if mark and not codec.name.startswith(mark):
        problem = f"not {encoding.upper()}: it starts with the mark of {mark.upper()}"
        raise DataError(problem, where=str(path), hint=advice.encoding(mark))
    if _has_single_bytes(codec) and not content.isascii() and _is_utf8(content):
        hint = advice.encoding("utf-8")
        raise DataError(f"its bytes are UTF-8, not {encoding.upper()}", where=str(path), hint=hint)
    if mark == "utf-8" and codec.name in (*UTF8, "utf-8-sig"):
        content, codec = content[len(codecs.BOM_UTF8) :], codecs.lookup("utf-8")
    recoded: list[bytes] | None = [] if codec.name not in UTF8 else None
    decoder = codec.incrementaldecoder("strict")
    for start in range(0, max(len(content), 1), BLOCK):
        try:
            text = decoder.decode(content[start : start + BLOCK], final=start + BLOCK >= len(content))
        except UnicodeError as error:
            raise _undecodable(content, start, codec.name, path, error, advice) from None
        if recoded is not None:
            recoded.append(text.encode("utf-8", "surrogatepass"))
    if recoded is not None:
        content = b"".join(recoded).removeprefix(codecs.BOM_UTF8)
    if b"\0" in content:
        line = _count_lines(content[: content.index(b"\0")]) + 1
        raise DataError("a NUL byte, so it is not a text", where=f"{path}:{line}", hint=_wide(advice))
    # A search for a single byte is ten times as fast as one for three.
    if codecs.BOM_UTF8[:1] in content and codecs.BOM_UTF8 in content and (inner := INNER_MARK.search(content)):
        line = _count_lines(content[: inner.start(1)]) + 1
        hint = "remove it; files that were joined may have such marks"
        raise DataError("a byte order mark (U+FEFF) within the text", where=f"{path}:{line}", hint=hint)
    return content


def _has_single_bytes(codec: codecs.CodecInfo) -> bool:
    """Returns whether an encoding extends ASCII with one byte per character."""
    if codec.name in (*UTF8, "utf-8-sig"):
        return False
    try:
        return len(codec.decode(bytes(range(0x20, 0x100)), "replace")[0]) == 0xE0 and codec.decode(b"a")[0] == "a"
    except (UnicodeError, ValueError):
        return False


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _undecodable(
    content: bytes, start: int, encoding: str, path: Path, error: UnicodeError, advice: Advice
) -> DataError:
    """Returns the error for bytes that are not valid in an encoding.

    The error names the line if the decoder reports a position.
    """
    if not isinstance(error, UnicodeDecodeError):
        return DataError(f"not {encoding.upper()}: {error}", where=str(path))
    carried = len(error.object) - min(BLOCK, len(content) - start)  # bytes of a character that the last block began
    byte = start - carried + error.start
    hint = ""
    if encoding in UTF8:
        hint = f"if the file is older or from Windows, {advice.encoding('latin-1', 'cp1252')}"
        if b"\0" in content[:BLOCK]:
            hint = _wide(advice)
    line = _count_lines(content[:byte]) + 1
    return DataError(f"not {encoding.upper()} at byte {byte}", where=f"{path}:{line}", hint=hint)


def _count_lines(content: bytes) -> int:
    """Returns the number of line breaks: ``\\n``, ``\\r\\n`` or ``\\r``."""
    return content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")


def rows_with_lines(content: bytes, quoted: bool = False) -> Iterator[tuple[int, str]]:
    """Yields the number of each row's first line, and the text of the row.

    Empty lines are skipped.

    Args:
        content: a text in UTF-8.
        quoted: whether cells may be quoted, so that a row may span lines. Every opening quote must have a closing one.
    """
    stream = io.TextIOWrapper(io.BytesIO(content), "utf-8", "surrogatepass", newline=None)
    row, first = "", 1
    for number, line in enumerate(stream, 1):
        if not row:
            first = number
        row += line
        if quoted and row.count('"') % 2:
            continue
        if row != "\n":
            yield first, row.removesuffix("\n")
        row = ""


def split_quoted(row: str, separator: str) -> list[str]:
    """Returns the cells of a row in which cells may be quoted as in RFC 4180."""
    cells: list[str] = []
    cell = None
    for piece in row.split(separator):
        cell = piece if cell is None else cell + separator + piece
        if cell.count('"') % 2 == 0:
            cells.append(cell[1:-1].replace('""', '"') if cell.startswith('"') else cell)
            cell = None
    return cells


def line_of_row(content: bytes, row: int, *, quoted: bool) -> int:
    """Returns the number of the line on which a row begins.

    Row 0 is the header, if there is one.
    """
    for number, (line, _) in enumerate(rows_with_lines(content, quoted)):
        if number == row:
            return line
    return _count_lines(content) + 1
