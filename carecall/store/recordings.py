"""The recordings of calls: who agreed to be recorded, where the audio lies, and the keys that it is sealed with.

Each recording has a key of its own, which is kept as personal text: bound to its call, sealed anew when the key of the
database is changed, and gone with the call's other records. Without CARECALL_SECRET_KEY audio lies open, as text does.
"""

import os
import uuid
import wave
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from sqlmodel import Session, col, delete, select, update

from carecall.errors import StoreError
from carecall.store.calls import the_attempt
from carecall.store.engine import Repository
from carecall.store.sound_file import KEY_BYTES, SUFFIX_PLAIN, SUFFIX_SEALED, SoundFile
from carecall.store.tables import AttemptRow, EnrollmentRow, RecipientRow, RecordingKeyRow


class Recordings(Repository):
    def begin(self, attempt_id: uuid.UUID, folder: Path) -> SoundFile | None:
        """Where the call is to be recorded; None when its person has not agreed to that.

        A call that is taken up again goes on in the form that it has. Raises StoreError when there is no such call.
        """
        with self._database.writing() as session:
            attempt = the_attempt(session, attempt_id, lock=True)
            if session.get_one(RecipientRow, attempt.recipient_id).recording_consent_at is None:
                return None
            key = key_of(session, attempt_id)
            if key is None and self._seals and attempt.recording_path is None:
                key = os.urandom(KEY_BYTES)
                session.add(RecordingKeyRow(attempt_id=attempt_id, key=key.hex()))
            return SoundFile(folder / f"{attempt_id}{SUFFIX_PLAIN if key is None else SUFFIX_SEALED}", key)

    def of(self, attempt_id: uuid.UUID) -> SoundFile | None:
        """The recording of a call as it was made; None when there is none. Raises StoreError for an unknown call."""
        with self._database.reading() as session:
            return sound_of(session, the_attempt(session, attempt_id))

    def seal_open(self, folder: Path) -> int:
        """Seals what lies open in this machine's folder of recordings, of calls that are over. Gives how many.

        They were made before there was a key. It may be broken off and begun again. Raises StoreError.
        """
        return sum(self._seal(file) for file in sorted(folder.glob(f"*{SUFFIX_PLAIN}"))) if self._seals else 0

    @property
    def _seals(self) -> bool:
        return self._database.cipher.seals

    def _seal(self, file: Path) -> bool:
        sealed = file.with_suffix(SUFFIX_SEALED)
        with self._database.writing() as session:
            attempt_id = _id(file.stem)
            attempt = session.get(AttemptRow, attempt_id, with_for_update=True) if attempt_id else None
            if attempt is None or attempt.ended_at is None or attempt.recording_path is None:
                return False
            if Path(attempt.recording_path).name == file.name:
                key = os.urandom(KEY_BYTES)
                try:
                    _copy(file, SoundFile(sealed, key))
                except (wave.Error, EOFError):
                    return False
                except OSError as error:
                    raise StoreError(f"{file} cannot be sealed: {error.strerror}.") from None
                session.add(RecordingKeyRow(attempt_id=attempt.id, key=key.hex()))
                attempt.recording_path = str(sealed)
        file.unlink(missing_ok=True)
        return True


def _copy(plain: Path, sealed: SoundFile) -> None:
    """Also the moment of the last sound, by which recordings grow old."""
    with wave.open(str(plain), "rb") as audio:
        sealed.path.unlink(missing_ok=True)
        with closing(sealed.writer(audio.getframerate())) as writer:
            while frames := audio.readframes(audio.getframerate()):
                writer.write(frames)
    was = plain.stat()
    os.utime(sealed.path, ns=(was.st_atime_ns, was.st_mtime_ns))


def _id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def sound_of(session: Session, attempt: AttemptRow) -> SoundFile | None:
    """The recording of a call, on the machine that made it; None when there is none."""
    path = attempt.recording_path
    return SoundFile(Path(path), key_of(session, attempt.id)) if path else None


def recorded_calls(session: Session, recipient_id: uuid.UUID, *, ended: bool = False) -> dict[uuid.UUID, Path]:
    """Where the audio of a person's calls was put, by the call; ``ended``: without that of a call that goes on."""
    of_person = select(EnrollmentRow.id).where(EnrollmentRow.recipient_id == recipient_id)
    query = select(AttemptRow.id, AttemptRow.recording_path).where(
        col(AttemptRow.enrollment_id).in_(of_person), col(AttemptRow.recording_path).is_not(None)
    )
    if ended:
        query = query.where(col(AttemptRow.ended_at).is_not(None))
    return {attempt_id: Path(path) for attempt_id, path in session.exec(query) if path}


def forget_recordings(session: Session, attempt_ids: Collection[uuid.UUID]) -> None:
    """The calls have no recording any more, and what it was sealed with is gone."""
    session.exec(delete(RecordingKeyRow).where(col(RecordingKeyRow.attempt_id).in_(attempt_ids)))
    session.exec(update(AttemptRow).where(col(AttemptRow.id).in_(attempt_ids)).values(recording_path=None))


def key_of(session: Session, attempt_id: uuid.UUID) -> bytes | None:
    """What the recording of a call is sealed with, if it is."""
    row = session.get(RecordingKeyRow, attempt_id)
    return bytes.fromhex(row.key) if row is not None else None
