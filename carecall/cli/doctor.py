"""``carecall doctor``: what is missing on this machine, and how to mend it."""

import importlib.util
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from carecall import model_files
from carecall.domain.language import Language
from carecall.errors import CareCallError
from carecall.settings import Settings, settings


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be right. ``mend`` is empty when it is."""

    what: str
    found: str
    mend: str = ""


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor() -> None:
    """Show the effective settings (secrets hidden), and what is missing to make calls. Exit 1 when something is."""
    effective = settings()
    console = Console()
    shown = Table("setting", "value", title="Settings")
    for name, value in effective:
        shown.add_row(f"CARECALL_{name.upper()}", _shown(name, value))
    console.print(shown)
    table = Table("", "check", "found", "mend")
    checks = list(_checks(effective))
    for check in checks:
        table.add_row("[red]✗[/]" if check.mend else "[green]✓[/]", check.what, check.found, check.mend)
    console.print(table)
    if any(check.mend for check in checks):
        raise typer.Exit(1)


def _checks(effective: Settings) -> Iterator[Check]:
    from carecall.dialog.files import dialog_names, find_dialog
    from carecall.dialog.red_flags import load_red_flags
    from carecall.store import Store

    def dialogs() -> str:
        names = dialog_names(effective.dialogs_dir)
        for name in names:
            find_dialog(effective.dialogs_dir, name)
        for language in Language:
            load_red_flags(effective.dialogs_dir, language)
        return ", ".join(names)

    def database() -> str:
        with Store.open(effective.database, secret=effective.secret_key.get_secret_value()):
            return effective.database.split("@")[-1]

    yield _try("dialogs", dialogs)
    yield _try("database", database)
    for name in model_files.needed(effective):
        model = model_files.store(effective.models_dir).locate(name)
        yield Check(f"model {name}", str(model or "missing"), "" if model else f"carecall models fetch {name}")
    if effective.stt == "faster-whisper":
        yield _module("faster_whisper", "local")
    if effective.llm == "local":
        yield _module("llama_cpp", "local")
    if effective.tts_en.startswith("piper"):
        yield _module("piper", "piper")
    if "espeak-ng" in (effective.tts_en, effective.tts_ko):
        path = shutil.which("espeak-ng")
        yield Check("espeak-ng", path or "missing", "" if path else "apt-get install espeak-ng")

    yield from _outbound(effective)
    yield from _alert_channels(effective)
    if effective.otlp_url:
        yield _module("opentelemetry.exporter", "otel")


def _outbound(effective: Settings) -> Iterator[Check]:
    """Whether calls can be made: with none of these set they are not meant to be."""
    wanted = {
        "CARECALL_TWILIO_ACCOUNT_SID": effective.twilio_account_sid,
        "CARECALL_TWILIO_AUTH_TOKEN": effective.twilio_auth_token.get_secret_value(),
        "CARECALL_TWILIO_NUMBER": effective.twilio_number,
        "CARECALL_PUBLIC_URL": effective.public_url,
    }
    missing = [name for name, value in wanted.items() if not value]
    if len(missing) == len(wanted):
        yield Check("telephone", "off")
        return
    mend = f"set {', '.join(missing)} (docs/runbook.md)" if missing else ""
    if not missing and not effective.public_url.startswith("https://"):
        mend = "CARECALL_PUBLIC_URL must begin with https://, or Twilio's media streams do not reach it"
    yield Check("telephone", effective.twilio_number or "no number", mend)


def _alert_channels(effective: Settings) -> Iterator[Check]:
    from carecall.outreach.alerting import look_at_mail_server

    yield Check("alerts by webhook", urlsplit(effective.alert_webhook_url).hostname or "off")
    server = urlsplit(effective.smtp_url.get_secret_value()).hostname
    if server is None:
        yield Check("alerts by e-mail", "off")
        return
    trouble = look_at_mail_server(effective)
    yield Check("alerts by e-mail", server, f"{trouble}; check CARECALL_SMTP_URL" if trouble else "")


def _shown(name: str, value: object) -> str:
    """A setting without secrets, those inside addresses included."""
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else "not set"
    if name == "alert_webhook_url" and value:
        return f"{urlsplit(str(value)).scheme}://{urlsplit(str(value)).hostname}/…"
    return re.sub(r"(?<=://)[^/\s@]+@", "…@", str(value))


def _try(what: str, look: Callable[[], str]) -> Check:
    try:
        return Check(what, look())
    except CareCallError as error:
        return Check(what, "not usable", str(error))


def _module(name: str, extra: str) -> Check:
    there = importlib.util.find_spec(name) is not None
    return Check(name, "installed" if there else "missing", "" if there else f"pip install 'carecall[{extra}]'")
