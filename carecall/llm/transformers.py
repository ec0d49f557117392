"""Language models in process, by transformers: on a GPU, or where a model is to be had as a folder of weights only.

One thread owns the model and serves the calls in the order they came. A prompt that begins with one of the latest that
``warm`` was given is read from there on.
"""

import asyncio
import copy
import json
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import llguidance
import llguidance.hf
import torch
import transformers

from carecall.errors import DeadlineExceeded, LanguageModelError
from carecall.llm.port import Message
from carecall.llm.structured import checked

PREFIXES = 4  # kept warm at once
_TOP_K = 40  # tokens to draw from above temperature 0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ask:
    """A completion."""

    messages: Sequence[Message]
    max_tokens: int
    schema: Mapping[str, Any] | None
    stop: Sequence[str]
    temperature: float
    stopped: threading.Event = field(default_factory=threading.Event)  # nobody waits for it any more


class Transformers:
    """A folder with safetensors, tokenizer and chat template behind the language model port.

    It is loaded at the first call, best a ``warm``, onto the GPU where there is one. What is not wanted any more stops
    at its next token; a prompt that is being read is read to its end first.
    """

    def __init__(self, path: Path, threads: int, context: int = 2048) -> None:
        self._path = path
        self._threads = threads
        self._context = context
        self._worker = ThreadPoolExecutor(1, f"llm {path.name}")
        self._model: _Model | LanguageModelError | None = None  # the error that it cannot be loaded for
        self._closed = threading.Event()

    @property
    def name(self) -> str:
        return self._path.name

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        deadline_s: float,
        max_tokens: int = 64,
        schema: Mapping[str, Any] | None = None,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
    ) -> str:
        ask = _Ask(tuple(messages), max_tokens, schema, tuple(stop), temperature)
        try:
            async with asyncio.timeout(deadline_s):
                reply = await self._run(lambda model: model.complete(ask))
        except TimeoutError:
            raise DeadlineExceeded(f"{self.name} did not answer within {deadline_s:g} s.") from None
        finally:
            ask.stopped.set()
        return reply if schema is None else checked(reply, schema)

    async def warm(self, messages: Sequence[Message]) -> None:
        await self._run(lambda model: model.warm(messages))

    async def close(self) -> None:
        """Stops what runs and frees the model."""
        self._closed.set()
        await asyncio.to_thread(self._worker.shutdown)
        self._model = None

    async def _run(self, work: "Callable[[_Model], str]") -> str:
        if self._closed.is_set():
            raise LanguageModelError(f"{self.name} is closed.")
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._work, work)

    def _work(self, work: "Callable[[_Model], str]") -> str:
        """In the thread that owns the model."""
        if self._closed.is_set():
            raise LanguageModelError(f"{self.name} is closed.")
        if self._model is None:
            try:
                self._model = _Model(self._path, self._threads, self._context, self._closed)
            except LanguageModelError as error:
                self._model = error
        if isinstance(self._model, LanguageModelError):
            raise self._model
        try:
            return work(self._model)
        except LanguageModelError:
            raise
        except torch.OutOfMemoryError:
            raise LanguageModelError("The GPU has no memory left for a reply. Set a smaller model.") from None
        except Exception as error:  # noqa: BLE001 - the boundary of a job
            _log.debug("transformers failed", exc_info=error)
            raise LanguageModelError(f"transformers failed ({type(error).__name__}).") from None


class _Model:
    """The loaded model; used by one thread only."""

    def __init__(self, path: Path, threads: int, context: int, closed: threading.Event) -> None:
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        torch.set_num_threads(threads)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                path, dtype="auto", local_files_only=True, use_safetensors=True
            )
            self._model = model.to(self._device).eval()
        except Exception as error:  # noqa: BLE001 - a folder can be wrong in many ways
            _log.debug("transformers failed", exc_info=error)
            raise LanguageModelError(
                f"transformers cannot load {path} ({type(error).__name__}). It needs a folder with config, tokenizer "
                "and safetensors, and memory for them."
            ) from None
        self._ends = self._model.generation_config.eos_token_id
        self._length = context
        self._closed = closed
        control = [token.content for token in self._tokenizer.added_tokens_decoder.values() if token.special]
        self._control = re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))) or "(?!)")
        self._prefixes: dict[tuple[int, ...], Any] = {}  # what was evaluated of each, the latest last
        self._vocabulary: Any = None  # as the grammars know it

    def warm(self, messages: Sequence[Message]) -> str:
        """Evaluates a prefix and keeps it."""
        tokens = tuple(self._tokens(messages, reply=False)[: self._length]) if messages else ()
        if tokens:
            self._prefixes[tokens] = self._prefixes.pop(tokens) if tokens in self._prefixes else self._evaluated(tokens)
            if len(self._prefixes) > PREFIXES:
                del self._prefixes[next(iter(self._prefixes))]
        return ""

    def complete(self, ask: _Ask) -> str:
        tokens = self._tokens(ask.messages, reply=True)
        if len(tokens) + ask.max_tokens > self._length:
            raise LanguageModelError(
                f"The prompt has {len(tokens)} tokens, and with {ask.max_tokens} for the reply the context of "
                f"{self._length} is too short."
            )
        drawing = {"do_sample": True, "temperature": ask.temperature, "top_k": _TOP_K} if ask.temperature > 0 else {}
        end = _End(self, ask, len(tokens), self._closed)
        written = self._model.generate(
            torch.tensor([tokens], device=self._device),
            attention_mask=torch.ones(1, len(tokens), dtype=torch.long, device=self._device),
            past_key_values=self._evaluated_of(tokens),
            generation_config=transformers.GenerationConfig(
                max_new_tokens=ask.max_tokens, eos_token_id=self._ends, pad_token_id=0, **drawing
            ),
            logits_processor=[] if ask.schema is None else [self._grammar(ask.schema, len(tokens))],
            stopping_criteria=[end],
        )
        if end.unwanted:
            raise LanguageModelError("The reply was stopped.")
        reply = self.text(written[0, len(tokens) :])
        return reply[: min((at for each in ask.stop if (at := reply.find(each)) >= 0), default=None)].strip()

    def text(self, tokens: Any) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def _tokens(self, messages: Sequence[Message], *, reply: bool) -> list[int]:
        """Messages in the model's own chat template; what is said cannot forge the template's control tokens."""
        said = [{"role": each.role, "content": self._control.sub("", each.content)} for each in messages]
        try:
            tokens = self._tokenizer.apply_chat_template(said, add_generation_prompt=reply, return_dict=False)
        except (jinja2.TemplateError, ValueError) as error:
            raise LanguageModelError(f"The model's chat template refuses the messages: {error}") from None
        return list(tokens)

    def _evaluated(self, tokens: Sequence[int]) -> Any:
        """The keys and values of a prefix."""
        with torch.no_grad():
            prompt = torch.tensor([tokens], device=self._device)
            return self._model(prompt, use_cache=True, logits_to_keep=1).past_key_values

    def _evaluated_of(self, tokens: list[int]) -> Any:
        """A copy, to go on from, of what was evaluated of the longest prefix that is kept; None when there is none."""
        kept = [each for each in self._prefixes if len(each) < len(tokens) and tuple(tokens[: len(each)]) == each]
        return copy.deepcopy(self._prefixes[max(kept, key=len)]) if kept else None

    def _grammar(self, schema: Mapping[str, Any], prompt: int) -> "_Grammar":
        if self._vocabulary is None:
            size = self._model.get_output_embeddings().weight.shape[0]
            self._vocabulary = llguidance.hf.from_tokenizer(self._tokenizer, size, self._ends)
        grammar = llguidance.LLMatcher.grammar_from_json_schema(
            json.dumps(schema), defaults={"whitespace_flexible": False}
        )
        matcher = llguidance.LLMatcher(self._vocabulary, grammar, log_level=0)
        if matcher.is_error():
            raise LanguageModelError("A reply cannot be constrained to this schema.")
        return _Grammar(matcher, prompt)


class _Grammar:
    """A logits processor: forbids every token that the schema does not allow next."""

    def __init__(self, matcher: Any, prompt: int) -> None:
        self._matcher = matcher
        self._read = prompt  # tokens

    def __call__(self, tokens: Any, scores: Any) -> Any:
        self._matcher.consume_tokens(tokens[0, self._read :].tolist())
        self._read = tokens.shape[1]
        allowed = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8).to(scores.device)
        return scores.masked_fill(allowed == 0, -torch.inf)


class _End:
    """A stopping criterion: a stop text was written, or nobody wants the reply any more."""

    def __init__(self, model: _Model, ask: _Ask, prompt: int, closed: threading.Event) -> None:
        self._model = model
        self._ask = ask
        self._prompt = prompt  # tokens
        self._closed = closed

    @property
    def unwanted(self) -> bool:
        return self._ask.stopped.is_set() or self._closed.is_set()

    def __call__(self, tokens: Any, _scores: Any, **_: Any) -> Any:
        said = self._model.text(tokens[0, self._prompt :]) if self._ask.stop else ""
        ended = self.unwanted or any(each in said for each in self._ask.stop)
        return torch.full((1,), ended, device=tokens.device)
