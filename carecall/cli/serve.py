"""``carecall up``, ``serve``, ``work``, ``stream-url``: the server, the worker, a way to ring without a telephone.

The first SIGTERM or Ctrl-C drains: no new call, and those under way may end. A second one ends at once.
"""

import asyncio
import functools
import gc
import signal
import socket
from collections.abc import Awaitable
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
import uvicorn

from carecall import logs, model_files
from carecall.cli import call
from carecall.errors import CareCallError, ModelFileError, SettingsError
from carecall.settings import Settings, settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from carecall.dialog.definition import Dialog
    from carecall.domain.language import Language

Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; CARECALL_PORT by default.")]


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(serve)
    app.command()(work)
    app.command(name="call")(call.call)
    app.command(name="stream-url")(stream_url)


def up(port: Port = None) -> None:
    """Prepare what is missing (database, models), then serve and make calls: everything in one process."""
    from carecall.store.facade import upgrade_database
    from telephony.dialer import TwilioDialer

    effective = settings()
    for name in model_files.needed(effective):
        model_files.store(effective.models_dir).ensure(name)
    upgrade_database(effective.database, effective.secret_key.get_secret_value())
    try:
        TwilioDialer(effective)
    except SettingsError as error:
        typer.echo(f"Outbound calling is off. {error}", err=True)
        _serve(port, worker=False)
    else:
        _serve(port, worker=True)


def serve(port: Port = None) -> None:
    """Serve web and telephony. The database must be at the newest revision ('carecall db upgrade')."""
    _serve(port, worker=False)


def _serve(port: int | None, *, worker: bool) -> None:
    from carecall import telemetry
    from carecall.app import create_app
    from telephony.router import WS_MAX_SIZE

    effective = settings() if port is None else settings().model_copy(update={"port": port})
    models = model_files.store(effective.models_dir)
    if missing := [name for name in model_files.needed(effective) if models.locate(name) is None]:
        names = ", ".join(missing)
        raise ModelFileError(f"Not on this machine: {names}. Run 'carecall models fetch' or 'carecall up'.")
    logs.configure(log_format=effective.log_format)
    end_telemetry = telemetry.configure(effective)
    with _listening(effective.host, effective.port) as listener:
        application = create_app(effective, worker=worker)
        if not application.state.program.store.users.any():
            typer.echo("Nobody can sign in to the dashboard yet: carecall user add EMAIL --role admin", err=True)
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            ws_max_size=WS_MAX_SIZE,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=30,
            lifespan="on",
        )
        typer.echo(
            f"CareCall listens on http://{effective.host}:{listener.getsockname()[1]} (Ctrl-C ends it)", err=True
        )
        server = _Server(config, application)
        try:
            server.run(sockets=[listener])
        finally:
            end_telemetry()
        if not server.started:
            raise typer.Exit(1)


class _Server(uvicorn.Server):
    """Drains at the first signal, with its sockets open: the calls under way need their callbacks."""

    def __init__(self, config: uvicorn.Config, application: "FastAPI") -> None:
        super().__init__(config)
        self._application = application
        self._draining: asyncio.Task[None] | None = None
        self._signals = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what is loaded by now stays: looking through it for garbage would stop every call for 150 ms

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1 or not self.started:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        if self._signals and self._draining is None:
            typer.echo("Ending: calls under way may finish; Ctrl-C again ends them.", err=True)
            self._draining = asyncio.create_task(self._application.state.program.drain(), name="drain")
        if self._draining is not None and self._draining.done():
            await self._draining
            self._application.state.live.close()
            self.should_exit = True
        return await super().on_tick(counter)


def work() -> None:
    """Make the calls that are due, beside 'carecall serve'. Any number may run on one database, each with its name."""
    from carecall import telemetry

    effective = settings()
    logs.configure(log_format=effective.log_format)
    end_telemetry = telemetry.configure(effective)
    try:
        asyncio.run(_work(effective))
    finally:
        end_telemetry()


async def _work(effective: Settings) -> None:
    from carecall.outreach import alerting
    from carecall.outreach.worker import Worker
    from carecall.store import Store
    from telephony.dialer import TwilioDialer

    signalled, ended_at_once = asyncio.Event(), asyncio.Event()

    def handle() -> None:
        (ended_at_once if signalled.is_set() else signalled).set()

    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, handle)
    dialer = TwilioDialer(effective)
    secret = effective.secret_key.get_secret_value()
    with Store.open(
        effective.database,
        secret=secret,
        alert_channels=alerting.channels(effective),
        escalate_after=alerting.escalate_after(effective),
    ) as store:
        worker = Worker(effective, store, dialer, functools.cache(functools.partial(_dialog, effective)))
        try:
            await worker.start()
            typer.echo(f"CareCall worker {worker.name} makes calls (Ctrl-C ends it)", err=True)
            await signalled.wait()
            if worker.calls:
                typer.echo("Ending: calls under way may finish; Ctrl-C again leaves them.", err=True)
            await _first(worker.drain(), ended_at_once.wait())
        finally:
            await worker.close()


def _dialog(effective: Settings, id_: str, language: "Language") -> "Dialog":
    from carecall.dialog.files import find_dialog

    return find_dialog(effective.dialogs_dir, f"{id_}.{language}")


def stream_url(
    dialog: Annotated[str, typer.Option(help="Dialog of the call, such as wellbeing.en.")],
    recipient: Annotated[str, typer.Option(help="Name of the person who is called.")] = "Anna",
) -> None:
    """Print a one-time media stream URL for a test call, good for one minute (development settings, loopback only)."""
    from carecall.app import new_stream_url
    from carecall.store import Store

    effective = settings()
    with Store.open(effective.database, secret=effective.secret_key.get_secret_value()) as store:
        typer.echo(new_stream_url(effective, store, dialog, recipient)[0])


async def _first(*awaitables: Awaitable[object]) -> None:
    """Waits for the first to end; the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _listening(host: str, port: int) -> socket.socket:
    """A bound socket, so that a port in use is one clear line before anything is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise CareCallError(
            f"Port {port} on {host} cannot be used ({error.strerror}); choose another with --port."
        ) from None
    return listener
