"""Tables on their way out, piece by piece: CSV that Excel opens in any language, and XLSX. Memory stays flat."""

import csv
import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from carecall.exchange.table_file import neutral

Cell = str | int | float | datetime | date | None

XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_MARK = "\ufeff"  # by which Excel knows UTF-8
_ROWS = 500  # of a piece
_BYTES = 64 * 1024  # of a piece
_LONGEST = 32_767  # characters of a cell in Excel
_LAST_ROW = 1_048_576  # of a sheet
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_WIDTH = 18  # characters of a column


class SheetFormat(StrEnum):
    CSV = "csv"
    XLSX = "xlsx"

    @property
    def media_type(self) -> str:
        return "text/csv; charset=utf-8" if self is SheetFormat.CSV else XLSX_TYPE


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table. Its rows are read once, as they are written."""

    title: str
    heading: Sequence[str]
    rows: Iterable[Sequence[Cell]]


def pieces(sheet: Sheet, form: SheetFormat, zone: ZoneInfo) -> Iterator[bytes]:
    """The file. Moments are written on the clock of the zone."""
    return csv_pieces(sheet, zone) if form is SheetFormat.CSV else xlsx_pieces(sheet, zone)


def csv_pieces(sheet: Sheet, zone: ZoneInfo) -> Iterator[bytes]:
    """UTF-8 with a mark; a cell that a spreadsheet program could take for a formula begins with an apostrophe."""
    text = io.StringIO(newline="")
    text.write(_MARK)
    writer = csv.writer(text)
    writer.writerow(sheet.heading)
    yield text.getvalue().encode("utf-8")  # at once, so that the browser knows that something comes
    for rows in _batches(sheet.rows):
        text.seek(0)
        text.truncate()
        writer.writerows([_text(cell, zone) for cell in row] for row in rows)
        yield text.getvalue().encode("utf-8", "replace")


def _batches(rows: Iterable[Sequence[Cell]]) -> Iterator[list[Sequence[Cell]]]:
    every = iter(rows)
    while batch := list(islice(every, _ROWS)):
        yield batch


def xlsx_pieces(sheet: Sheet, zone: ZoneInfo) -> Iterator[bytes]:
    """Cells are typed; a text is never a formula. The file is made on disk first, readable by this program only."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    with tempfile.TemporaryFile() as file:
        with _workbook() as book:
            page: Any = None
            for number, row in enumerate(sheet.rows):
                if number % (_LAST_ROW - 1) == 0:
                    page = _page(book, sheet, Font(bold=True))
                page.append([_cell(page, cell, zone, WriteOnlyCell) for cell in row])
            if page is None:
                _page(book, sheet, Font(bold=True))
            book.save(file)
        file.seek(0)
        while piece := file.read(_BYTES):
            yield piece


@contextmanager
def _workbook() -> Iterator[Any]:
    """A workbook whose temporary files are gone in the end, whatever happens."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    try:
        yield book
    except BaseException:
        for page in book.worksheets:
            writer: Any = getattr(page, "_writer", None)
            if writer is not None:
                page.close()
                writer.cleanup()
        raise


def _page(book: Any, sheet: Sheet, bold: Any) -> Any:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.utils import get_column_letter

    page = book.create_sheet(sheet.title)
    page.freeze_panes = "A2"
    for column in range(1, len(sheet.heading) + 1):
        page.column_dimensions[get_column_letter(column)].width = _WIDTH
    cells = [WriteOnlyCell(page, each) for each in sheet.heading]
    for cell in cells:
        cell.font = bold
    page.append(cells)
    return page


def _cell(page: Any, value: Cell, zone: ZoneInfo, make: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(zone).replace(tzinfo=None, microsecond=0)
    if not isinstance(value, str):
        return value
    text = _NOT_IN_XML.sub(" ", value.encode("utf-8", "replace").decode())[:_LONGEST]
    if not text.startswith(("=", "#")):
        return text or None
    cell = make(page, text)
    cell.data_type = "s"
    return cell


def _text(value: Cell, zone: ZoneInfo) -> str | int | float:
    match value:
        case None:
            return ""
        case str():
            return neutral(value)
        case datetime():
            return value.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
        case date():
            return value.isoformat()
        case _:
            return value
