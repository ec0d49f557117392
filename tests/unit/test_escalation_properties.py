"""An alert that nobody acknowledges goes from person to person in their order, whatever happens meanwhile."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from carecall.store.escalation import next_person

PEOPLE = [uuid.UUID(int=number) for number in range(6)]


def _ways(order: list[uuid.UUID], assigned: uuid.UUID | None) -> list[uuid.UUID]:
    """To whom it goes, one after the other, when nobody does anything."""
    passed, way = 0, []
    while (person := next_person(order, passed, assigned)) is not None:
        assert person.passed > passed
        passed, assigned = person.passed, person.user_id
        way.append(person.user_id)
        assert person.last == (passed == len(order))
    return way


orders = st.permutations(PEOPLE).flatmap(lambda people: st.integers(0, 6).map(lambda many: list(people[:many])))


@given(orders, st.none() | st.sampled_from(PEOPLE))
def test_it_goes_once_to_everybody_in_their_order(order: list[uuid.UUID], assigned: uuid.UUID | None) -> None:
    way = _ways(order, assigned)
    first = order[:1] if order[:1] != [assigned] else []  # only whose it is at the beginning is passed over
    assert way == first + order[1:]


@given(orders, st.integers(0, 6), st.none() | st.sampled_from(PEOPLE))
def test_it_never_goes_to_whose_it_is(order: list[uuid.UUID], passed: int, assigned: uuid.UUID | None) -> None:
    person = next_person(order, passed, assigned)
    assert person is None or person.user_id != assigned


@given(orders, st.data())
def test_an_order_that_changes_meanwhile_lets_it_come_to_an_end(order: list[uuid.UUID], data: st.DataObject) -> None:
    passed, assigned, steps = 0, None, 0
    while (person := next_person(order, passed, assigned)) is not None:
        passed, assigned, steps = person.passed, person.user_id, steps + 1
        order = data.draw(orders)
    assert steps <= len(PEOPLE)
