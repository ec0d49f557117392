"""The language model behind one port: llama.cpp in process, or any OpenAI-compatible server."""

from carecall.llm.factory import make_language_model
from carecall.llm.port import LanguageModel, Message

__all__ = ["LanguageModel", "Message", "make_language_model"]
