"""A table in a CSV or XLSX file that anybody may have written: its headings and rows as text, or one clear line."""

import codecs
import csv
import io
import os
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import TextIO

from carecall.errors import ImportFileError

MAX_BYTES = 20 * 1024 * 1024
MAX_UNPACKED = 100 * 1024 * 1024  # bytes of an XLSX file's XML parts
MAX_PARTS = 2000
MAX_ROWS = 100_000
MAX_COLUMNS = 100
_LAST_ROW = 1_048_576  # of any worksheet
_PIECE = 64 * 1024
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_SEPARATORS = (",", ";", "\t")
_UNPRINTED = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
)
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r")  # what a formula begins with for some program
_ESCAPED = re.compile(r"^'(?=[=+@＝＋－＠'-])")  # as write_csv writes it

Knows = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class FileInMemory:
    """A file that was sent, and lies on no disk."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table that is not blank."""

    number: int  # of the file's line, or of the sheet's row, from 1
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The headings, and what stands below them."""

    name: str  # of the file
    heading: Line
    lines: tuple[Line, ...]


def read_table(file: Path | FileInMemory, knows: Knows, *, sheet: str = "", encoding: str = "") -> Table:
    """Reads a CSV or XLSX file, told apart by what is in it.

    The separator of a CSV file is the one that makes most headings known. Cells are text without space around it, in
    composed characters; dates and times as ISO; a formula is its text. Raises ImportFileError with one line.
    """
    name = os.fsencode(file.name).decode(errors="replace")
    raw = _read(file, name)
    if raw.startswith(_OLD_EXCEL):
        raise ImportFileError(
            f"{name} is an old Excel workbook, or one with a password: save it as .xlsx without one, or as CSV UTF-8."
        )
    rows = _sheet_rows(raw, name, sheet) if raw.startswith(b"PK\x03\x04") else _csv_rows(raw, name, knows, encoding)
    lines: list[Line] = []
    for number, cells in rows:
        if any(cells):
            lines.append(Line(number, cells))
        if len(cells) > MAX_COLUMNS:
            raise ImportFileError(f"{name}:{number}: more than {MAX_COLUMNS} columns: it is not a list of people.")
        if len(lines) > MAX_ROWS + 1:
            raise ImportFileError(f"{name} has more than {MAX_ROWS:,} rows: split it.")
    if not lines:
        raise ImportFileError(f"{name} is empty: its first row must name the columns (docs/people.md).")
    return Table(name, lines[0], tuple(lines[1:]))


def write_csv(file: TextIO, rows: Sequence[Sequence[str]]) -> None:
    """Writes rows so that no spreadsheet program takes a cell for a formula; ``read_table`` gives them back."""
    writer = csv.writer(file)
    for row in rows:
        writer.writerow([neutral(cell) for cell in row])


def neutral(cell: str) -> str:
    """The text of a cell, with an apostrophe before it where some spreadsheet program would take it for a formula."""
    return "'" + cell if cell.startswith((*_FORMULA, "'")) else cell


def unprinted(text: str) -> bool:
    """Whether the text has characters that no name or number has: controls, and marks that turn or hide text."""
    return _UNPRINTED.search(text) is not None


def _read(file: Path | FileInMemory, name: str) -> bytes:
    try:
        if isinstance(file, FileInMemory):
            raw = file.content
        else:
            with file.open("rb") as opened:
                raw = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImportFileError(f"{name} cannot be read: {error.strerror}.") from None
    if len(raw) > MAX_BYTES:
        raise ImportFileError(f"{name} is larger than {MAX_BYTES // 1024**2} MB: split it.")
    return raw


def _cell(text: str) -> str:
    composed = unicodedata.normalize("NFC", text.replace("\r\n", "\n"))
    return _ESCAPED.sub("", composed.strip(), count=1)


def _decode(raw: bytes, name: str, encoding: str) -> str:
    """UTF-8, UTF-16 with its mark, or what Korean Excel writes."""
    if not encoding and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    for each in [encoding] if encoding else ["utf-8-sig", "cp949"]:
        try:
            text = raw.decode(each)
        except UnicodeDecodeError:
            continue
        except LookupError:
            raise ImportFileError(f"There is no encoding {each!r}: try utf-8 or cp949.") from None
        if each != "cp949" or encoding or _mostly_korean(text):
            return text
    tried = encoding or "UTF-8 or CP949"
    raise ImportFileError(
        f"{name} is not written in {tried}: save it as 'CSV UTF-8', or name its encoding with --encoding."
    )


def _mostly_korean(text: str) -> bool:
    """Whether the letters are those in use: other encodings, taken for CP949, give its rare syllables."""
    letters = [character for character in text if ord(character) > 127]
    rare = sum(1 for letter in letters if not letter.encode("euc_kr", "ignore"))
    return rare * 10 <= len(letters)


def _csv_rows(raw: bytes, name: str, knows: Knows, encoding: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    text = _decode(raw, name, encoding)
    if "\0" in text:
        raise ImportFileError(f"{name} holds NUL bytes: it is not a CSV file. Save it as 'CSV UTF-8' or as .xlsx.")
    first = re.match(r"sep=(.)\r?\n", text)
    skipped = 1 if first else 0
    if first:
        text = text[first.end() :]
    separators = [first[1]] if first else _SEPARATORS
    separator = max(separators, key=lambda each: _known_headings(text, each, knows))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        number = reader.line_num + skipped + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ImportFileError(f"{name}:{number}: {_csv_trouble(str(error))}.") from None
        yield number, tuple(_cell(cell) for cell in cells)


def _known_headings(text: str, separator: str, knows: Knows) -> int:
    try:
        heading = next(csv.reader(io.StringIO(text.lstrip("\r\n"), newline=""), delimiter=separator), [])
    except csv.Error:
        return 0
    return sum(1 for cell in heading if knows(_cell(cell)))


def _csv_trouble(error: str) -> str:
    if "field larger" in error:
        return "a cell has more than 131,072 characters, or a quotation mark is not closed"
    if "end of data" in error:
        return "a quotation mark is opened here and never closed"
    if "expected after" in error:
        return "a quotation mark stands inside a cell; write it twice"
    return "the line is not CSV"


def _sheet_rows(raw: bytes, name: str, sheet: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl tells of what it leaves out, such as drop-down lists
            yield from _openpyxl_rows(_unpacked(raw, name), name, sheet)
    except ImportFileError:
        raise
    except Exception:  # noqa: BLE001 - of a damaged file zipfile and openpyxl let through whatever they met
        raise ImportFileError(
            f"{name} is not an Excel workbook, or is damaged: save it again as .xlsx or CSV."
        ) from None


def _unpacked(raw: bytes, name: str) -> io.BytesIO:
    """The workbook's XML parts, uncompressed, unpacked piece by piece: what the file says of its sizes may be a lie."""
    unpacked = io.BytesIO()
    size = 0
    with zipfile.ZipFile(io.BytesIO(raw)) as archive, zipfile.ZipFile(unpacked, "w") as copy:
        parts = [part for part in set(archive.namelist()) if part.endswith((".xml", ".rels"))]
        if len(parts) > MAX_PARTS:
            raise ImportFileError(f"{name} has more than {MAX_PARTS:,} parts: it is not a list of people.")
        for part in parts:
            if archive.getinfo(part).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile  # no spreadsheet program writes it, and zipfile unpacks it at one go
            with archive.open(part) as source, copy.open(part, "w") as target:
                while piece := source.read(_PIECE):
                    size += len(piece)
                    if size > MAX_UNPACKED:
                        raise ImportFileError(
                            f"{name} unpacks to more than {MAX_UNPACKED // 1024**2} MB: it is not a list of people."
                        )
                    target.write(piece)
    return unpacked


def _openpyxl_rows(file: io.BytesIO, name: str, sheet: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    from openpyxl import load_workbook
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

    workbook = load_workbook(file, read_only=True, keep_links=False)
    try:
        if sheet and sheet not in workbook.sheetnames:
            raise ImportFileError(f"{name} has no sheet of this name; it has: {', '.join(workbook.sheetnames)}.")
        chosen = workbook[sheet] if sheet else next(each for each in workbook if isinstance(each, ReadOnlyWorksheet))
        chosen.reset_dimensions()  # what the file says of its size is not believed
        rows = chosen.iter_rows(max_row=_LAST_ROW, max_col=MAX_COLUMNS + 1, values_only=True)
        for number, values in enumerate(rows, 1):
            if values.count(None) == len(values):
                continue
            cells = [_cell(_as_text(value)) for value in values]
            while cells and not cells[-1]:
                cells.pop()
            yield number, tuple(cells)
    finally:
        workbook.close()


def _as_text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer():
            return str(int(value))
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return str(value)
