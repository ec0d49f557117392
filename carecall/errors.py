"""Errors that a person can mend, one class a room.

CareCallError
├── SettingsError         settings
├── DialogFileError       dialog.files: every problem found, a line each
├── VocabularyError       dialog.understanding.lexicon
├── MemoryVocabularyError memory
├── EvaluationFileError   evaluation
├── ModelFileError        model_files
├── LanguageModelError    llm
│   └── DeadlineExceeded
├── SpeechError           speech
├── StoreError            store
│   ├── StoreUnavailable
│   ├── StoreNotFound
│   ├── PersonalDataChanged
│   └── StoreConflict
├── StreamRefused         telephony
├── CampaignFileError     outreach: every problem found, a line each
├── DialError             outreach, telephony
│   ├── DialRefused
│   └── DialUnknown
├── ImportFileError       exchange: every problem found, a line each
└── SimulationError       simulation

The message is one line that names the trouble and the mend; ``code`` is stable and may be relied on by scripts.
"""

from typing import ClassVar


class CareCallError(Exception):
    """Something went wrong in CareCall."""

    code: ClassVar[str] = "carecall"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__class__.__doc__)


class SettingsError(CareCallError):
    """A setting is missing or not usable."""

    code = "settings"


class ModelFileError(CareCallError):
    """A model file could not be fetched, verified or found."""

    code = "model_file"


class LanguageModelError(CareCallError):
    """The language model failed."""

    code = "language_model"


class DeadlineExceeded(LanguageModelError):
    """The language model did not answer in time."""

    code = "language_model_deadline"


class SpeechError(CareCallError):
    """Speech recognition or synthesis failed."""

    code = "speech"


class StoreError(CareCallError):
    """The database refused."""

    code = "store"


class StoreUnavailable(StoreError):
    """The database cannot be used at the moment."""

    code = "store_unavailable"


class StoreNotFound(StoreError):
    """There is no such record."""

    code = "store_not_found"


class PersonalDataChanged(StoreError):
    """A personal text was changed or moved in the database by somebody who has not the key."""

    code = "personal_data_changed"


class StoreConflict(StoreError):
    """Somebody else was first: the record is not as it was seen."""

    code = "store_conflict"


class StreamRefused(CareCallError):
    """A media stream was not admitted or broke the protocol."""

    code = "stream_refused"


class CampaignFileError(CareCallError):
    """A campaign file is wrong."""

    code = "campaign_file"


class DialError(CareCallError):
    """A call could not be made."""

    code = "dial"


class ImportFileError(CareCallError):
    """A list of people cannot be imported."""

    code = "import_file"


class SimulationError(CareCallError):
    """A simulated call could not be run."""

    code = "simulation"
