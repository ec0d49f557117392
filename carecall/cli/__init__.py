"""The command line ``carecall``: a module a group of commands; errors are one line; exit 0 good, 1 failed, 2 usage."""

import importlib
import sys
from typing import Annotated, NoReturn

import typer

from carecall import __version__, logs
from carecall.errors import CareCallError
from carecall.settings import settings

app = typer.Typer(
    name="carecall",
    help="Phones people for health check-ups, in Korean and English.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


logs.configure("WARNING")
for _group in (
    "demo",
    "talk",
    "serve",
    "models",
    "people",
    "database",
    "users",
    "plan",
    "export",
    "evaluate",
    "doctor",
):
    importlib.import_module(f"carecall.cli.{_group}").register(app)


def main() -> None:
    """Run a command; turn every expected error into one clear line."""
    debug = "--debug" in sys.argv[1:2]
    try:
        debug = debug or settings().debug
        code = app(standalone_mode=False)
    except typer.Abort:
        _fail("Stopped.", 130)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        hint = f" Try '{context.command_path} --help'." if context else ""
        _fail(f"{error.format_message()}{hint}", error.exit_code)
    except CareCallError as error:
        if debug:
            raise
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("Stopped.", 130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"carecall: {message}\n")
    sys.exit(code)
