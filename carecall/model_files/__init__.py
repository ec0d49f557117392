"""Model files: one manifest, one cache, fetched with a progress bar, resumed, verified, never half there.

A name is one of the manifest, or the path of a file or folder that is used as it lies.
"""

from functools import cache
from pathlib import Path

from carecall.model_files.manifest import File, Hub, Kind, ModelFile, WheelPart, read
from carecall.model_files.model_store import ModelStore, State
from carecall.settings import Settings, settings

__all__ = [
    "File",
    "Hub",
    "Kind",
    "ModelFile",
    "ModelStore",
    "State",
    "WheelPart",
    "ensure",
    "locate",
    "manifest",
    "needed",
    "store",
]

_MANIFEST = Path(__file__).parent.parent / "models.toml"


def manifest(models_dir: Path | None = None) -> dict[str, ModelFile]:
    """Every known model by name: those of CareCall, and those of ``models.toml`` in the models folder, which win."""
    own = (models_dir or settings().models_dir) / "models.toml"
    return {**_shipped(), **(read(own) if own.is_file() else {})}


def store(models_dir: Path | None = None) -> ModelStore:
    """The models folder, by default that of the settings."""
    root = models_dir or settings().models_dir
    return ModelStore(root, manifest(root))


def ensure(name: str, *, progress: bool = True) -> Path:
    """The file or folder of a model; fetched when it is not whole here. Raises ModelFileError."""
    return store().ensure(name, progress=progress)


def locate(name: str) -> Path | None:
    """The file or folder of a model that is whole here, without network; else None. Raises ModelFileError."""
    return store().locate(name)


def needed(settings: Settings) -> list[str]:
    """The models, names or paths, that the settings use on this machine."""
    names = []
    if settings.stt == "faster-whisper":
        names.append(settings.stt_model)
    if "piper" in (settings.tts_en, settings.tts_ko):
        names.append(settings.tts_voice_en)
    if settings.llm == "local":
        names.append(settings.llm_model)
    return names


@cache
def _shipped() -> dict[str, ModelFile]:
    return read(_MANIFEST)
