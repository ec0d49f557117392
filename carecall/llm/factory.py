"""The language model that the settings name."""

from carecall import model_files
from carecall.errors import LanguageModelError, ModelFileError, SettingsError
from carecall.llm.openai_compatible import OpenAICompatible
from carecall.llm.port import LanguageModel
from carecall.model_files import Kind
from carecall.settings import Settings


def make_language_model(settings: Settings) -> LanguageModel | None:
    """None where ``llm`` is none; nothing is fetched and nothing loaded yet.

    A local model that is a file runs on llama.cpp, one that is a folder on transformers. Raises ModelFileError when it
    is not on this machine, SettingsError when the settings make no sense, and LanguageModelError when what it runs on
    is not installed.
    """
    if settings.llm == "none":
        return None
    if settings.llm != "local":
        return OpenAICompatible(settings.llm, settings.llm_model, settings.llm_api_key.get_secret_value())
    store = model_files.store(settings.models_dir)
    path = store.locate(settings.llm_model)
    if path is None:
        raise ModelFileError(
            f"The language model {settings.llm_model} is not on this machine. Run 'carecall models fetch "
            f"{settings.llm_model}', or set CARECALL_LLM=none to go without."
        )
    model = store.models.get(settings.llm_model)
    if model is not None and model.kind is not Kind.LLM:
        raise SettingsError(f"CARECALL_LLM_MODEL names {model.name}, which is no language model.")
    if path.is_dir():
        try:
            from carecall.llm.transformers import Transformers
        except ImportError:
            raise LanguageModelError("transformers is not installed. Run: pip install 'carecall[torch]'.") from None
        return Transformers(path, threads=settings.threads)
    try:
        from carecall.llm.llama_cpp import LlamaCpp
    except ImportError:
        raise LanguageModelError("llama.cpp is not installed. Run: pip install 'carecall[local]'.") from None
    return LlamaCpp(path, threads=settings.threads)
