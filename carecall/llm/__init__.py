"""The language model behind one port: llama.cpp or transformers in process, or any OpenAI-compatible server."""

import os

from carecall.llm.factory import make_language_model
from carecall.llm.port import LanguageModel, Message

__all__ = ["LanguageModel", "Message", "make_language_model"]

# Read when llama.cpp's thread library is loaded: threads that wait should sleep. Spinning, two of them take four times
# as long for a reply as soon as speech recognition or synthesis wants the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
