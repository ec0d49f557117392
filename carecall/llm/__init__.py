"""The language model behind one port: llama.cpp in process, or any OpenAI-compatible server."""

from carecall.llm.port import LanguageModel, Message

__all__ = ["LanguageModel", "Message"]
