"""Tables on their way out: what a reader gets back, and how much memory it takes to write them."""

import csv
import io
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from carecall.exchange.spreadsheet import Cell, Sheet, SheetFormat, pieces
from carecall.exchange.table_file import read_table

SEOUL = ZoneInfo("Asia/Seoul")


def written(form: SheetFormat, *rows: tuple[Cell, ...]) -> bytes:
    heading = [f"column {number}" for number in range(len(rows[0]) if rows else 1)]
    return b"".join(pieces(Sheet("목록", heading, rows), form, SEOUL))


@pytest.mark.parametrize("form", SheetFormat)
def test_an_empty_table_has_its_heading(form: SheetFormat, tmp_path: Path) -> None:
    file = tmp_path / f"list.{form}"
    file.write_bytes(written(form))
    assert read_table(file, lambda _: True).heading.cells == ("column 0",)


@pytest.mark.parametrize("form", SheetFormat)
def test_what_is_written_is_read_back(form: SheetFormat, tmp_path: Path) -> None:
    file = tmp_path / f"list.{form}"
    at = datetime(2026, 5, 4, 0, 30, tzinfo=UTC)
    file.write_bytes(written(form, ("김영자", "+821012345678", -3, 36.5, date(2026, 5, 4), at, None, "=1+1")))
    (line,) = read_table(file, lambda _: True).lines
    shown = "2026-05-04 09:30:00" if form is SheetFormat.CSV else "2026-05-04T09:30:00"
    assert line.cells == ("김영자", "+821012345678", "-3", "36.5", "2026-05-04", shown, "", "=1+1")


@settings(max_examples=100)
@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=[]), max_size=30)), min_size=1, max_size=5))
def test_no_text_is_a_formula_and_none_is_refused(rows: list[tuple[str]]) -> None:
    text = written(SheetFormat.CSV, *rows).decode("utf-8-sig")
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert len(read) == len(rows) + 1
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")) for (cell,) in read[1:])
    sheet = load_workbook(io.BytesIO(written(SheetFormat.XLSX, *rows))).active
    assert sheet is not None
    assert all(cell.data_type in ("s", "n") for row in sheet.iter_rows() for cell in row)  # n: nothing


def _many(count: int) -> Iterator[tuple[Cell, ...]]:
    for number in range(count):
        yield f"person {number}", f"+8210{number:08}", number, datetime(2026, 5, 4, tzinfo=UTC)


@pytest.mark.parametrize("form", SheetFormat)
def test_memory_is_flat_however_many_rows_there_are(form: SheetFormat) -> None:
    def most(count: int) -> int:
        tracemalloc.start()
        for _ in pieces(Sheet("list", ["a", "b", "c", "d"], _many(count)), form, SEOUL):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    most(10)
    assert most(10_000) < most(1_000) + 500_000


def test_a_table_that_breaks_off_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken() -> Iterator[tuple[Cell, ...]]:
        yield ("a person",)
        raise LookupError

    with pytest.raises(LookupError):
        list(pieces(Sheet("list", ["name"], broken()), SheetFormat.XLSX, SEOUL))
    assert list(tmp_path.iterdir()) == []
