"""Which language model the settings give."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from carecall.errors import LanguageModelError, ModelFileError, SettingsError
from carecall.llm import Message, make_language_model
from carecall.llm.openai_compatible import OpenAICompatible
from carecall.settings import Settings


def test_none_is_no_model() -> None:
    assert make_language_model(Settings(llm="none")) is None


async def test_a_url_is_a_server() -> None:
    model = make_language_model(
        Settings(llm="http://127.0.0.1:8000/v1", llm_model="exaone", llm_api_key=SecretStr("key"))
    )

    assert isinstance(model, OpenAICompatible)
    assert model.name == "exaone"
    await model.close()


def test_a_model_that_is_not_here_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"carecall models fetch qwen2\.5-coder-1\.5b"):
        make_language_model(Settings(llm="local", models_dir=tmp_path))


def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="did you mean qwen"):
        make_language_model(Settings(llm="local", llm_model="qwen2.5-coder", models_dir=tmp_path))


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(
        f'[[model]]\nname = "voice"\nkind = "tts"\npurpose = "x"\nlicence = "MIT"\npath = "{tmp_path}"\n'
    )
    with pytest.raises(SettingsError, match="no language model"):
        make_language_model(Settings(llm="local", llm_model="voice", models_dir=tmp_path))


async def test_a_path_is_loaded_as_it_lies_and_a_broken_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but not really")
    pytest.importorskip("llama_cpp")
    model = make_language_model(Settings(llm="local", llm_model=str(broken)))
    assert model is not None

    with pytest.raises(LanguageModelError, match=r"cannot load .*broken\.gguf"):
        await model.complete([Message("user", "Hello")], deadline_s=10)
    await model.close()
