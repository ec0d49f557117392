"""All that is kept of one person as one ZIP file: the data as JSON, the conversations as text, the recordings."""

import json
import shutil
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from carecall.domain.turn import Speaker
from carecall.errors import PersonalDataChanged
from carecall.store.rights import PersonFile

_FORMAT = "carecall person 1"
_SPEAKERS = {Speaker.AGENT.value: "CareCall", Speaker.RECIPIENT.value: "Person"}
_READ_ME = """\
All that CareCall keeps of one person.

person.json        every record, by table; moments are in UTC
conversations/     what was said in each call, with the seconds from its beginning
recordings/        the audio of calls, where it was recorded (WAV; left the person, right CareCall)

A finding is as it was understood in the call; a correction is what somebody made of it later, and the newest counts.
Recordings that could not be copied whole, if there are any, are named in recordings/not-whole.txt.
"""
_NOT_WHOLE = "recordings/not-whole.txt"


def write_person(file: Path | IO[bytes], person: PersonFile) -> list[Path]:
    """Writes the ZIP file. Gives the recordings that are not in it, or not whole, and says so in the file too.

    They are not on this machine, or were changed on its disk.
    """
    missing: list[Path] = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _READ_ME)
        written = {"format": _FORMAT, **person.tables}
        archive.writestr("person.json", json.dumps(written, ensure_ascii=False, indent=1))
        for name, text in _conversations(person.tables):
            archive.writestr(f"conversations/{name}.txt", text)
        for attempt_id, recording in person.recordings.items():
            try:
                entry = zipfile.ZipInfo.from_file(recording.path, f"recordings/{attempt_id}.wav")
                with recording.open() as sound, archive.open(entry, "w", force_zip64=True) as copy:
                    shutil.copyfileobj(sound, copy)
            except (FileNotFoundError, PersonalDataChanged):
                missing.append(recording.path)
        if missing:
            archive.writestr(_NOT_WHOLE, "".join(f"{path.name}\n" for path in missing))
    return missing


def _conversations(tables: dict[str, list[dict[str, Any]]]) -> Iterable[tuple[str, str]]:
    turns: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for turn in tables["turn"]:
        turns[turn["attempt_id"]].append(turn)
    for attempt in tables["attempt"]:
        if said := turns.get(attempt["id"]):
            lines = [f"{each['started_s']:7.1f}  {_SPEAKERS[each['speaker']]}: {each['text']}" for each in said]
            yield f"{attempt['planned_at'][:10]} {attempt['id']}", "\n".join([*lines, ""])
