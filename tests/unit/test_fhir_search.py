"""Search parameters of the interface: dates with prefixes, references, codes, the cut between two pages."""

import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carecall.exchange.fhir_search import Cut, QueryError, id_of, read_cut, span_of, wanted_code, write_cut
from carecall.store.care_exchange import Span


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "span"),
    [
        ([], Span()),
        (["2026"], Span(at(2026, 1, 1), at(2027, 1, 1))),
        (["2026-12"], Span(at(2026, 12, 1), at(2027, 1, 1))),
        (["eq2026-05-04"], Span(at(2026, 5, 4), at(2026, 5, 5))),
        (["ge2026-05-04"], Span(at(2026, 5, 4), None)),
        (["gt2026-05-04"], Span(at(2026, 5, 5), None)),
        (["lt2026-05-04"], Span(None, at(2026, 5, 4))),
        (["le2026-05-04"], Span(None, at(2026, 5, 5))),
        (["ge2026-05-01", "lt2026-05-03", "ge2026-05-02"], Span(at(2026, 5, 2), at(2026, 5, 3))),
        (["ge2026-05-04T09:00:00+09:00"], Span(at(2026, 5, 4), None)),
        (["2026-05-04T09:00Z"], Span(at(2026, 5, 4, 9), at(2026, 5, 4, 9, 1))),
        (["gt2026-05-04T09:00:00.5Z"], Span(at(2026, 5, 4, 9, 0, 0, 501_000), None)),
    ],
)
def test_a_date_is_a_span(values: list[str], span: Span) -> None:
    assert span_of("date", values) == span


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "ne2026",
        "ap2026",
        "2026-02-30",
        "2026-13",
        "0000",
        "9999",
        "2026-05-04T09:00:00",
        "２０２６",
        "2026-5",
    ],
)
def test_a_date_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(QueryError, match="date"):
        span_of("date", [value])


@given(st.text())
def test_whatever_is_given_for_a_date_or_a_cursor_is_understood_or_refused(value: str) -> None:
    for read in (lambda: span_of("date", [value]), lambda: read_cut("_cursor", value)):
        try:
            read()
        except QueryError:
            continue


@given(st.none() | st.tuples(st.datetimes(timezones=st.just(UTC)), st.uuids()), st.integers(0, 9_999))
def test_a_cut_is_read_as_it_was_written(place: tuple[datetime, uuid.UUID] | None, index: int) -> None:
    assert read_cut("_cursor", write_cut(Cut(place, index))) == Cut(place, index)


def test_a_reference_is_an_id_with_its_kind_or_without() -> None:
    id_ = uuid.uuid4()
    assert id_of("patient", f"Patient/{id_}", "Patient") == id_of("patient", str(id_), "Patient") == id_
    assert id_of("patient", id_.hex, "Patient") is None
    with pytest.raises(QueryError):
        id_of("patient", f"Group/{id_}", "Patient")


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        ("8310-5", True),
        ("loinc|8310-5", True),
        ("loinc|", True),
        ("|8310-5", False),
        ("sct|8310-5", False),
        ("a,8310-5", True),
    ],
)
def test_a_code_is_wanted_with_its_system_or_without(tokens: str, wanted: bool) -> None:
    assert wanted_code(tokens, [("loinc", "8310-5")]) == wanted
