"""Deletes what is past its time: once a day, in small portions, beside the calls; safe in several workers at once."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from carecall.errors import StoreError
from carecall.settings import Settings
from carecall.store import Store
from carecall.store.retention import Call, Limits
from carecall.store.sound_file import SUFFIX_PLAIN, SUFFIX_SEALED

DAY_S = 24 * 3600.0
_BREATH_S = 0.05  # between two portions, for whoever else writes
_AGAIN_S = 300.0  # after a failure
_FILES_AT_ONCE = 200

logger = logging.getLogger(__name__)


async def keep_clearing(store: Store, settings: Settings, *, every_s: float = DAY_S) -> None:
    """Clears at once, and again every day; what fails is tried again soon."""
    while True:
        try:
            await clear(store, settings)
        except StoreError as error:
            logger.error("what is past its time could not be deleted, and is tried again: %s", error)
            await asyncio.sleep(min(_AGAIN_S, every_s))
        else:
            await asyncio.sleep(every_s)


async def clear(store: Store, settings: Settings) -> None:
    """Deletes all that is past its time, and notes the end of the audit trail in the log. Raises StoreError."""
    limits = Limits(timedelta(days=settings.retain_transcripts_days), timedelta(days=settings.retain_reports_days))
    call: Call | None = None
    while (call := await store.run(store.retention.clear_calls, limits, call)) is not None:
        await _let_others_write()
    person: UUID | None = None
    while (person := await store.run(store.retention.clear_people, limits, person)) is not None:
        await _let_others_write()
    await _clear_recordings(store, settings)
    oldest = datetime.now(UTC) - timedelta(days=settings.retain_audit_days)
    while await store.run(store.audit.forget, oldest):
        await _let_others_write()
    if newest := await store.run(store.audit.newest_hash):
        logger.info("audit trail: the newest hash is %s", newest)


async def _let_others_write() -> None:
    await asyncio.sleep(_BREATH_S)


async def _clear_recordings(store: Store, settings: Settings) -> None:
    """Deletes the recordings on this machine whose last sound is too old."""
    oldest = time.time() - settings.retain_recordings_days * DAY_S
    while files := await asyncio.to_thread(_old_files, settings.recordings_dir, oldest):
        for file in files:
            await asyncio.to_thread(file.unlink, missing_ok=True)
        await store.run(store.retention.recordings_gone, [UUID(file.stem) for file in files if _is_id(file.stem)])


def _old_files(folder: Path, oldest: float) -> list[Path]:
    found: list[Path] = []
    for file in folder.glob("*"):
        if file.suffix in (SUFFIX_PLAIN, SUFFIX_SEALED) and file.stat().st_mtime < oldest:
            found.append(file)
        if len(found) == _FILES_AT_ONCE:
            break
    return found


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
