"""``carecall chat`` and ``carecall simulate``: hold calls without a telephone."""

import asyncio
import dataclasses
import datetime
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from carecall.dialog.definition import Dialog
from carecall.dialog.files import find_dialog
from carecall.dialog.journal import Journal, MemoryJournal
from carecall.dialog.manager import DialogManager, Sentence
from carecall.dialog.red_flags import load_red_flags
from carecall.dialog.understanding.rules import rules_for
from carecall.dialog.wording import may_write, warm_prefix
from carecall.domain.attempt import AttemptState
from carecall.domain.finding import Finding
from carecall.domain.language import Language
from carecall.domain.report import Report
from carecall.errors import SimulationError
from carecall.llm import LanguageModel
from carecall.llm.factory import make_language_model
from carecall.memory.recall import FollowUp
from carecall.settings import Settings, settings
from carecall.simulation.scenario import Scenario, load_scenario, scenario_files
from carecall.simulation.text_call import Result, TextLine, run_text_call

if TYPE_CHECKING:
    from carecall.call_memory import Remembered

_NAMES = {Language.ENGLISH: "Dorothy Hale", Language.KOREAN: "김순자"}


class Mode(StrEnum):
    """What a simulated call goes over."""

    TEXT = "text"
    VOICE = "voice"  # the real server's media stream, with speech on both sides


def chat(
    dialog: Annotated[str, typer.Argument(help="A dialog's name, such as wellbeing.en.")],
    name: Annotated[str, typer.Option(help="Whom the call is for.")] = "",
    llm: Annotated[str, typer.Option(help="none, local, or the URL of an OpenAI-compatible server.")] = "",
    store: Annotated[bool, typer.Option(help="Keep the call, and what it is remembered by, in the database.")] = True,
    date: Annotated[datetime.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day of the call.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Talk with CareCall by text: an empty line is silence, the end of the input hangs up."""
    effective = _with_llm(settings(), llm)
    call = find_dialog(effective.dialogs_dir, dialog)
    day = date.date() if date else datetime.date.today()
    name = name or _NAMES[call.language]
    report, remembered = asyncio.run(_chat(call, name, effective, day, store=store, quiet=as_json))
    if as_json:
        shown = report_json(report) | ({"memory": dataclasses.asdict(remembered)} if remembered else {})
        typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
        return
    print_report(report)
    if remembered is not None:
        print_memory(remembered)


def simulate(
    paths: Annotated[list[Path], typer.Argument(help="Scenario files, or folders of them.")],
    mode: Annotated[Mode, typer.Option(help="What the calls go over.")] = Mode.TEXT,
    llm: Annotated[str, typer.Option(help="none, local, or a URL; by text none unless given.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a scenario.")] = False,
) -> int:
    """Run simulated calls and check what comes of them. Exit code 1 when one is not as expected."""
    try:
        scenarios = [load_scenario(path) for path in scenario_files(paths)]
    except SimulationError as error:
        raise typer.BadParameter(str(error), param_hint="PATHS") from None
    effective = settings()
    if llm or mode is Mode.TEXT:
        effective = _with_llm(effective, llm or "none")
    results = _by_text(scenarios, effective) if mode is Mode.TEXT else _by_voice(scenarios, effective)

    async def run() -> bool:
        good = True
        async for name, result in results:
            typer.echo(json.dumps(result_json(name, result), ensure_ascii=False) if as_json else _line(name, result))
            good &= isinstance(result, Result) and result.passed
        return good

    return 0 if asyncio.run(run()) else 1


Outcomes = AsyncGenerator[tuple[str, Result | SimulationError], None]


async def _by_text(scenarios: Sequence[Scenario], effective: Settings) -> Outcomes:
    async with _language_model(effective) as model:
        for scenario in scenarios:
            try:
                result = await run_text_call(
                    scenario, effective.dialogs_dir, today=datetime.date.today(), language_model=model
                )
            except SimulationError as error:
                yield scenario.name, error
            else:
                yield scenario.name, result


async def _by_voice(scenarios: Sequence[Scenario], effective: Settings) -> Outcomes:
    from carecall.simulation.server import running_server
    from carecall.simulation.voice_call import run_voice_call
    from carecall.store import Store

    secret = effective.secret_key.get_secret_value()
    with Store.open(effective.database, secret=secret, upgrade=True) as store, running_server(effective) as server:
        for scenario in scenarios:
            try:
                call = await run_voice_call(scenario, server.settings, store)
            except SimulationError as error:
                yield scenario.name, error
            else:
                yield scenario.name, call.result


def report_json(report: Report) -> dict[str, Any]:
    """The report as plain JSON values."""
    return {**dataclasses.asdict(report), "urgency": report.urgency}


def result_json(name: str, result: Result | SimulationError) -> dict[str, Any]:
    """What came of a simulated call as plain JSON values; a call that could not be held has no report."""
    if isinstance(result, SimulationError):
        return {"name": name, "passed": False, "reasons": [str(result)], "report": None, "alerts": [], "turns": []}
    return {
        "name": name,
        "passed": result.passed,
        "reasons": list(result.reasons),
        "report": report_json(result.report),
        "alerts": [alert.code for alert in result.report.alerts],
        "turns": [dataclasses.asdict(turn) for turn in result.turns],
    }


def print_report(report: Report) -> None:
    """Shows a report on the terminal: each value with the words it rests on."""
    console = Console()
    console.print(f"\n[bold]{report.outcome}[/bold] · {report.urgency} · {report.dialog_id}.{report.dialog_language}")
    if report.summary:
        console.print(escape(report.summary), highlight=False)
    table = Table("finding", "value", "said", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for finding in report.findings:
        quotes = " … ".join(f"“{evidence.quote}”" for evidence in finding.evidence)
        table.add_row(escape(finding.code), escape(_shown(finding)), escape(quotes))
    console.print(table)
    for alert in report.alerts:
        quotes = " … ".join(dict.fromkeys(f"“{evidence.quote}”" for evidence in alert.evidence))
        console.print(f"[bold]{alert.urgency}[/bold] {escape(alert.reason)} {escape(quotes)}")
    for note in report.notes:
        console.print(f"noted: “{escape(note)}”")


def print_memory(remembered: "Remembered") -> None:
    """Shows on the terminal what is remembered of the recipient, before and after a call, and why."""
    console = Console()
    for title, sentences in (("Memory before", remembered.before), ("Memory after", remembered.after)):
        console.print(f"\n[bold]{title}[/bold]")
        for sentence in sentences or ("nothing",):
            console.print(f"  {escape(sentence)}")
    for decision in remembered.decisions:
        about = "".join(f" ← {old}" for old in decision.stored if old != decision.new)
        console.print(f"{decision.operation}: {escape(decision.new + about)}", highlight=False)


def _shown(finding: Finding) -> str:
    if isinstance(finding.value, float):
        return f"{finding.value:g}" + (f" {finding.unit}" if finding.unit else "")
    return str(finding.value).replace("_", " ")


def _line(name: str, result: Result | SimulationError) -> str:
    if isinstance(result, SimulationError):
        return f"FAIL  {name}\n      {result}"
    line = f"{'pass' if result.passed else 'FAIL'}  {name}  ({len(result.turns)} turns)"
    return "\n".join([line, *(f"      {reason}" for reason in result.reasons)])


def _with_llm(effective: Settings, llm: str) -> Settings:
    return effective.model_copy(update={"llm": llm}) if llm else effective


@asynccontextmanager
async def _language_model(effective: Settings) -> AsyncIterator[LanguageModel | None]:
    model = make_language_model(effective)
    try:
        yield model
    finally:
        if model is not None:
            await model.close()


async def _chat(
    dialog: Dialog, name: str, effective: Settings, day: datetime.date, *, store: bool, quiet: bool
) -> "tuple[Report, Remembered | None]":
    from carecall.call_memory import recall_for, remember
    from carecall.store import CallJournal, Store

    async with _language_model(effective) as model:
        if model is not None and may_write(model, dialog.language):
            await model.warm(warm_prefix(dialog.language))
        if not store:
            return await _talk(_manager(dialog, name, effective, MemoryJournal(), model, day), quiet=quiet), None
        secret, clock = effective.secret_key.get_secret_value(), _clock_on(day)
        with Store.open(effective.database, secret=secret, upgrade=True, clock=clock) as kept:
            attempt = await kept.run(kept.attempts.ad_hoc, dialog, name, dialog.language)
            await kept.run(kept.attempts.advance, attempt, AttemptState.IN_PROGRESS)
            recipient = (await kept.run(kept.attempts.get, attempt)).recipient_id
            follow_ups = await recall_for(kept, recipient, dialog.language, day)
            manager = _manager(dialog, name, effective, CallJournal(kept, attempt), model, day, follow_ups)
            try:
                report = await _talk(manager, quiet=quiet)
            finally:
                await kept.run(kept.calls.finish, attempt, manager.report())
            return report, await remember(kept, attempt, report, follow_ups, day)


def _clock_on(day: datetime.date) -> Callable[[], datetime.datetime]:
    """A clock that runs on that day, from noon of UTC, which is the same day nearly everywhere."""
    noon = datetime.datetime.combine(day, datetime.time(12), tzinfo=datetime.UTC)
    ahead = noon - datetime.datetime.now(datetime.UTC)
    return lambda: datetime.datetime.now(datetime.UTC) + ahead


def _manager(
    dialog: Dialog,
    name: str,
    effective: Settings,
    journal: Journal,
    model: LanguageModel | None,
    today: datetime.date,
    follow_ups: Sequence[FollowUp] = (),
) -> DialogManager:
    return DialogManager(
        dialog,
        load_red_flags(effective.dialogs_dir, dialog.language),
        rules_for(dialog.language),
        journal,
        recipient_name=name,
        today=today,
        organisation=effective.organisation,
        language_model=model,
        llm_deadline_s=effective.llm_deadline_s,
        follow_ups=follow_ups,
    )


async def _talk(manager: DialogManager, *, quiet: bool) -> Report:
    line = TextLine(manager)
    await _show(line.open(), quiet=quiet)
    while not manager.ended and (text := await asyncio.to_thread(_read)) is not None:
        await _show(line.hear(text), quiet=quiet)
    return manager.report()


async def _show(sentences: AsyncIterator[Sentence], *, quiet: bool) -> None:
    async for sentence in sentences:
        typer.echo(f"agent: {sentence.text}", err=quiet)


def _read() -> str | None:
    """The next line of the input; None at its end."""
    if sys.stdin.isatty():
        typer.echo("you:   ", nl=False)
    line = sys.stdin.readline()
    return line.strip() if line else None


def register(app: typer.Typer) -> None:
    app.command()(chat)
    app.command()(simulate)
