"""Users and organisations at the command line."""

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

from carecall.cli import app
from carecall.dashboard.passwords import Passwords
from carecall.domain.viewer import Role
from carecall.errors import CareCallError, StoreNotFound
from carecall.store import Store
from carecall.store.users import session_digest

PASSWORD = "a long walk by the river"


@pytest.fixture(autouse=True)
def _this_database(store: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARECALL_DATABASE_URL", make_url(url).render_as_string(hide_password=False))


def said(*arguments: str, given: str = "") -> str:
    result = CliRunner().invoke(app, arguments, input=given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str, given: str = "") -> str:
    """The error of a command that fails."""
    with pytest.raises(CareCallError) as error:
        CliRunner().invoke(app, arguments, input=given, catch_exceptions=False)
    return str(error.value)


def add(email: str = "head@here.test", *more: str) -> str:
    return said("user", "add", email, "--role", "admin", "--password-stdin", *more, given=f"{PASSWORD}\n")


async def test_a_user_who_was_added_may_sign_in(store: Store) -> None:
    assert not store.users.any()
    assert add() == "head@here.test may sign in as admin.\n"
    account = store.users.account("Head@Here.test")
    assert account is not None
    assert await Passwords().good(account.password_hash, PASSWORD)
    assert PASSWORD not in account.password_hash
    assert said("user", "list").startswith("head@here.test\tadmin\tactive\tpassword only\tCareCall")


def test_what_is_wrong_is_told_in_one_line() -> None:
    add()
    arguments = ("user", "add", "head@here.test", "--role", "viewer", "--password-stdin")
    assert "already" in refused(*arguments, given=f"{PASSWORD}\n")
    assert "at least 12" in refused(*arguments, given="short\n")
    assert "not an e-mail address" in refused("user", "add", "head", "--role", "viewer")
    assert "--password-stdin" in refused("user", "add", "x@here.test", "--role", "viewer")
    assert "time zone" in refused("user", "add", "x@here.test", "--role", "viewer", "--time-zone", "Seoul")
    assert "user list" in refused("user", "deactivate", "nobody@here.test")


def test_a_reset_gives_a_password_that_is_to_be_changed(store: Store) -> None:
    add()
    first = said("user", "reset", "head@here.test").strip().removeprefix("First password: ")
    assert len(first) == 19
    account = store.users.account("head@here.test")
    assert account is not None
    token = store.users.begin_session(account.user_id, verified=True)
    signed_in = store.users.signed_in(session_digest(token))
    assert signed_in is not None
    assert signed_in.must_change_password


def test_who_is_deactivated_is_nobody_until_activated(store: Store) -> None:
    add()
    said("user", "deactivate", "head@here.test")
    assert store.users.account("head@here.test") is None
    assert "deactivated" in said("user", "list")
    said("user", "activate", "head@here.test")
    assert store.users.account("head@here.test") is not None


def test_with_several_organisations_one_is_named(store: Store) -> None:
    assert "--organisation 'Next door'" in said("organisation", "add", "Next door")
    assert "already" in refused("organisation", "add", "Next door")
    arguments = ("user", "add", "x@there.test", "--role", "viewer", "--password-stdin")
    assert "CareCall, Next door" in refused(*arguments, given=f"{PASSWORD}\n")
    add("head@there.test", "--organisation", "Next door")
    assert [(each.name, each.users) for each in store.users.organisations()] == [("CareCall", 0), ("Next door", 1)]
    next_door = next(each for each in store.users.organisations() if each.name == "Next door")
    assert [(user.role, name) for user, name in store.users.everybody()] == [(Role.ADMIN, next_door.name)]
    assert said("organisation", "list").splitlines()[1].startswith("Next door\t1\t")


def test_an_unknown_user_is_not_found(store: Store) -> None:
    with pytest.raises(StoreNotFound):
        store.users.operator_resets("nobody@here.test", "x", actor="terminal")
