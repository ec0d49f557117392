"""Which speech services the settings name."""

from pathlib import Path

import pytest
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService

from carecall.domain.language import Language
from carecall.errors import ModelFileError, SettingsError
from carecall.settings import Settings
from carecall.speech.factory import Speech, make_voice


def test_a_model_that_is_not_here_names_the_mend(tmp_path: Path) -> None:
    speech = Speech(Settings(models_dir=tmp_path))
    with pytest.raises(ModelFileError, match="carecall models fetch whisper-base"):
        speech.load()


def test_an_unknown_voice_is_refused() -> None:
    with pytest.raises(SettingsError, match="CARECALL_TTS_EN=festival"):
        make_voice(Settings(tts_en="festival"), Language.ENGLISH)


def test_any_pipecat_service_can_be_named_by_its_dotted_path() -> None:
    settings = Settings(
        stt="pipecat.services.openai.stt.OpenAISTTService",
        stt_options={"api_key": "none"},
        tts_en="pipecat.services.openai.tts.OpenAITTSService",
        tts_options={"api_key": "none"},
    )
    speech = Speech(settings)
    speech.load(Language.ENGLISH)
    assert isinstance(speech.stt(Language.ENGLISH), STTService)
    assert isinstance(speech.tts(Language.ENGLISH), TTSService)


@pytest.mark.parametrize(
    ("path", "trouble"),
    [
        ("no.such.Service", "cannot be imported"),
        ("pipecat.services.openai.stt.Nothing", "cannot be imported"),
        ("pathlib.Path", "is not a pipecat STTService"),
    ],
)
def test_a_wrong_dotted_path_is_one_clear_line(path: str, trouble: str) -> None:
    with pytest.raises(SettingsError, match=trouble):
        Speech(Settings(stt=path)).stt(Language.ENGLISH)


def test_options_that_a_service_does_not_take_are_named() -> None:
    settings = Settings(stt="pipecat.services.openai.stt.OpenAISTTService", stt_options={"colour": "blue"})
    with pytest.raises(SettingsError, match="does not take the given options"):
        Speech(settings).stt(Language.ENGLISH)
