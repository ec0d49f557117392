"""``carecall demo``: one whole voice call on this machine, from ring to report."""

import asyncio
import json
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import carecall.simulation
from carecall import model_files
from carecall.cli.talk import print_report, report_json
from carecall.domain.turn import Speaker, Turn
from carecall.errors import SimulationError
from carecall.settings import Settings, settings
from carecall.simulation.scenario import load_scenario

if TYPE_CHECKING:
    from carecall.simulation.server import RunningServer
    from carecall.simulation.voice_call import VoiceResult

_NAMES = {Speaker.AGENT: "CareCall", Speaker.RECIPIENT: "Anna"}


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the live view.")] = False,
    scenario: Annotated[Path | None, typer.Option(help="A scenario of your own to play, in English.")] = None,
) -> None:
    """Hold one full voice call: a synthetic recipient is phoned over the real media-stream endpoint.

    Starts the server, speaks and listens with the real models, and prints the transcript, the latency of each answer,
    and the report with its evidence. Needs no account, no key and no telephone.
    """
    from carecall.simulation.server import running_server
    from carecall.simulation.voice_call import run_voice_call
    from carecall.store import Store

    effective = settings().model_copy(update={"record_calls": True})
    console = Console(stderr=True, quiet=as_json)
    for name in model_files.needed(effective):
        model_files.store(effective.models_dir).ensure(name, progress=not as_json)
    play = load_scenario(scenario or demo_scenario())
    with (
        Store.open(effective.database, secret=effective.secret_key.get_secret_value(), upgrade=True) as store,
        console.status("Starting the server and loading the models"),
        running_server(effective) as server,
    ):
        _render_phrases(server, console)
        console.print(f"[bold]Calling {play.recipient.name}[/] ({play.dialog}, {play.description or play.name})\n")
        result = asyncio.run(run_voice_call(play, server.settings, store, on_turn=lambda turn: _say(console, turn)))
    if as_json:
        typer.echo(json.dumps(_as_json(result), ensure_ascii=False, indent=2))
    else:
        _show(Console(), result, effective)
    if not result.result.passed:
        raise SimulationError(f"The call was not as expected: {'; '.join(result.result.reasons)}.")


def demo_scenario() -> Path:
    """The scenario that the demo plays."""
    return Path(carecall.simulation.__file__).parent / "demo.en.yaml"


def _render_phrases(server: "RunningServer", console: Console) -> None:
    """Wait until the audio of the fixed lines is there: once, a minute or two; later at once."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Rendering the fixed phrases (first time only)", total=None)
        most = 0
        while (missing := server.phrases_missing()) != 0:
            if missing is not None:
                most = max(most, missing)
                progress.update(task, total=most, completed=most - missing)
            time.sleep(0.2)


def _say(console: Console, turn: Turn) -> None:
    style = "cyan" if turn.speaker is Speaker.AGENT else "green"
    cut = " [dim](cut off)[/]" if turn.interrupted else ""
    console.print(
        f"[dim]{turn.started_s:6.1f} s[/]  [{style}]{_NAMES[turn.speaker]:>8}[/]  {turn.text}{cut}", highlight=False
    )


def percentile(values: list[float], share: float) -> float:
    """The value under which a share of the values lies, by linear interpolation; NaN for none."""
    if not values:
        return float("nan")
    if len(values) == 1:
        return values[0]
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return cuts[round(share * 100) - 1]


def _as_json(call: "VoiceResult") -> dict[str, Any]:
    latencies = list(call.latencies)
    return {
        "transcript": [asdict(turn) for turn in call.result.turns],
        "latency": {
            "p50_s": round(percentile(latencies, 0.5), 3),
            "p95_s": round(percentile(latencies, 0.95), 3),
            "turns_s": [round(value, 3) for value in latencies],
        },
        "report": report_json(call.result.report),
        "alerts": report_json(call.result.report)["alerts"],
        "recording": call.recording,
        "passed": call.result.passed,
    }


def _show(console: Console, call: "VoiceResult", effective: Settings) -> None:
    report, latencies = call.result.report, list(call.latencies)
    each = "  ".join(f"{value:.2f}" for value in latencies)
    console.print(f"\n[bold]Answer latency[/] (end of speech → agent's first audio on the line): {each} s")
    console.print(f"p50 {percentile(latencies, 0.5):.2f} s, p95 {percentile(latencies, 0.95):.2f} s\n")
    print_report(report)
    sealed = " (encrypted: hear it in the dashboard)" if effective.secret_key.get_secret_value() else ""
    console.print(f"\nRecording: {call.recording}{sealed}")
    console.print(f"Database:  {effective.database}")
    console.print(
        "\nNext: 'carecall chat wellbeing.en' to talk to it yourself, 'carecall simulate scenarios/' for more calls."
    )
    host = f"[{effective.host}]" if ":" in effective.host else effective.host
    address = f"http://{host}:{effective.port}/calls/{call.attempt_id}"
    console.print("\n[bold]See this call in the dashboard[/], with each finding beside its sentence:")
    console.print("  carecall user add you@example.org --role admin    (once; asks for a password)", highlight=False)
    console.print(f"  carecall up                                       then open {address}", highlight=False)
