"""``carecall serve``, ``up`` and ``stream-url``: the server, and a way to ring it without a telephone."""

import socket
from typing import Annotated

import typer
import uvicorn

from carecall import logs, model_files
from carecall.errors import CareCallError, ModelFileError
from carecall.settings import settings

Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; CARECALL_PORT by default.")]


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(serve)
    app.command(name="stream-url")(stream_url)


def up(port: Port = None) -> None:
    """Prepare what is missing (database, models), then serve: everything in one process on this machine."""
    from carecall.store.facade import upgrade_database

    effective = settings()
    for name in model_files.needed(effective):
        model_files.store(effective.models_dir).ensure(name)
    upgrade_database(effective.database)
    serve(port)


def serve(port: Port = None) -> None:
    """Serve web and telephony. The database must be at the newest revision ('carecall db upgrade')."""
    from carecall.app import create_app
    from telephony.router import WS_MAX_SIZE

    effective = settings() if port is None else settings().model_copy(update={"port": port})
    models = model_files.store(effective.models_dir)
    if missing := [name for name in model_files.needed(effective) if models.locate(name) is None]:
        names = ", ".join(missing)
        raise ModelFileError(f"Not on this machine: {names}. Run 'carecall models fetch' or 'carecall up'.")
    logs.configure()
    with _listening(effective.host, effective.port) as listener:
        application = create_app(effective)
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
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        if not server.started:
            raise typer.Exit(1)


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
