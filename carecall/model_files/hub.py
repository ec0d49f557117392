"""Downloads files of a model hub repository at one revision, and checks them by the checksum that the hub publishes."""

import hashlib
import os
from pathlib import Path

from carecall.errors import ModelFileError
from carecall.model_files.manifest import File, Hub
from carecall.model_files.progress import FetchProgress

_CHUNK = 1 << 20


def download(hub: Hub, file: File, folder: Path, progress: FetchProgress) -> Path:
    """Fetches one file into folder, going on where an earlier try stopped, and returns its path.

    The endpoint and the token are those of huggingface_hub (``HF_ENDPOINT``, ``HF_TOKEN``). Raises ModelFileError.
    """
    try:
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError:
        raise ModelFileError("A hub model needs huggingface_hub: pip install 'carecall[local]'.") from None
    # Among the bases is the error of the HTTP library, whichever this version of huggingface_hub uses.
    unreachable: tuple[type[Exception], ...] = (
        OfflineModeIsEnabled,
        LocalEntryNotFoundError,
        *HfHubHTTPError.__mro__[1:-3],
    )
    endpoint = os.environ.get("HF_ENDPOINT") or None
    source = f"{hub.repository}/{file.name} at {hub.revision[:12]}"
    disable_progress_bars()
    progress.doing("downloading")
    try:
        url = huggingface_hub.hf_hub_url(hub.repository, file.name, revision=hub.revision, endpoint=endpoint)
        published = huggingface_hub.get_hf_file_metadata(url)
        with progress.watching(folder, file.name, file.size):
            path = Path(
                huggingface_hub.hf_hub_download(
                    hub.repository, file.name, revision=hub.revision, local_dir=folder, endpoint=endpoint
                )
            )
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise ModelFileError(
            f"The model hub refused {source} ({status}). Check the repository, the revision and HF_TOKEN."
        ) from None
    except unreachable as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ModelFileError(
            f"The model hub cannot be reached for {source}. Check the network and HF_ENDPOINT."
        ) from None
    if file.sha256 is None:
        _check_published(path, published.etag or "", source)
    return path


def _check_published(path: Path, etag: str, source: str) -> None:
    """Large files carry their SHA-256 as etag, small ones the id of their git blob."""
    match len(etag):
        case 64:
            digest = hashlib.sha256()
        case 40:
            digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        case _:
            raise ModelFileError(f"The model hub publishes no checksum for {source}. Add its sha256 to the manifest.")
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != etag.lower():
        path.unlink()
        raise ModelFileError(f"{source} arrived damaged. Run 'carecall models fetch' again.")
