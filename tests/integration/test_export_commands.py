"""`carecall export` and `carecall api-token` on a real database."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from dashboard_office import Office
from fhir.resources.R4B.bundle import Bundle
from openpyxl import load_workbook
from typer.testing import CliRunner

from carecall.cli import app
from carecall.errors import CareCallError
from carecall.settings import settings

PERIOD = ("--from", "2026-05-01", "--to", "2026-05-31")


@pytest.fixture(autouse=True)
def _this_database(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARECALL_DATABASE_URL", office.settings.database_url)
    monkeypatch.setenv("CARECALL_SECRET_KEY", "a key")
    settings.cache_clear()


def ours(office: Office) -> tuple[str, str]:
    name = next(each.name for each in office.store.users.organisations() if each.id == office.ours.organisation_id)
    return "--organisation", name


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("what", ["people", "calls", "findings", "today"])
def test_a_list_becomes_a_file_that_its_owner_alone_reads(office: Office, tmp_path: Path, what: str) -> None:
    period = {"people": (), "today": ("--day", "2026-05-04")}.get(what, PERIOD)
    file = tmp_path / "list.csv"
    said("export", what, str(file), *period, *ours(office), "--language", "ko", "--time-zone", "Asia/Seoul")
    rows = list(csv.reader(io.StringIO(file.read_text("utf-8-sig"), newline="")))
    assert "이름" in rows[0]
    assert any("김영자" in row for row in rows)
    assert not any("최옥순" in row for row in rows)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith("unfinished")] == []


def test_calls_become_a_workbook(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "calls.xlsx"
    said("export", "calls", str(file), *PERIOD, "--format", "xlsx", *ours(office))
    sheet = load_workbook(file).active
    assert sheet is not None
    assert sheet.max_row == 4


def test_calls_become_a_bundle_with_each_person_once(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "calls.json"
    said("export", "calls", str(file), *PERIOD, "--format", "fhir", *ours(office))
    bundle = json.loads(file.read_text())
    Bundle.model_validate(bundle)
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert kinds.count("Patient") == 2
    assert kinds.count("QuestionnaireResponse") == 2


def test_an_export_is_told_in_the_audit_trail(office: Office, tmp_path: Path) -> None:
    said("export", "calls", str(tmp_path / "calls.csv"), *PERIOD, *ours(office))
    entry = office.store.audit.of(f"organisation:{office.ours.organisation_id}")[-1]
    assert entry.action == "calls.exported"
    assert entry.actor.startswith("terminal")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "soon"), "is not a day"),
        (("--from", "2026-05-02", "--to", "2026-05-01"), "ends before it begins"),
        (("--from", "2026-05-02", "--time-zone", "Seoul"), "no time zone"),
        (("--from", "2026-05-02"), "--organisation"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CareCallError, match=words):
        said("export", "calls", str(tmp_path / "calls.csv"), *arguments)
    assert list(tmp_path.glob("*.csv")) == []


def test_a_file_that_cannot_be_written_is_said_in_one_line(office: Office, tmp_path: Path) -> None:
    with pytest.raises(CareCallError, match="cannot be written"):
        said("export", "people", str(tmp_path / "nowhere" / "people.csv"), *ours(office))


async def test_a_token_of_the_command_line_opens_the_interface_until_it_is_revoked(office: Office) -> None:
    token = said("api-token", "add", "Health authority", *ours(office)).strip()
    async with office.browser() as client:
        client.headers["Authorization"] = f"Bearer {token}"
        assert (await client.get("/api/alerts")).status_code == 200
        office.clock.pass_(timedelta(minutes=2))
        listed = json.loads(said("api-token", "list", "--json", *ours(office)))
        assert next(each for each in listed if each["name"] == "Health authority")["used_at"] is not None
        assert "Health authority" in said("api-token", "list", *ours(office))
        said("api-token", "revoke", "Health authority", *ours(office))
        assert (await client.get("/api/alerts")).status_code == 401
    assert "revoked" in said("api-token", "list", *ours(office))


def test_a_token_that_is_not_there_cannot_be_revoked(office: Office) -> None:
    with pytest.raises(CareCallError, match="no such token"):
        said("api-token", "revoke", "nobody", *ours(office))
    said("api-token", "add", "twice", *ours(office))
    said("api-token", "add", "twice", *ours(office))
    with pytest.raises(CareCallError, match="several"):
        said("api-token", "revoke", "twice", *ours(office))
