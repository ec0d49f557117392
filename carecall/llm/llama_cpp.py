"""Language models in process, by llama.cpp: one model, one thread that owns it, prompt prefixes kept warm.

The context is divided into slots, each a sequence with the tokens it holds evaluated. A prompt goes to the slot that
shares the longest prefix with it, so that only the rest is evaluated. A prefix given to ``warm`` is held in its slot.
"""

import asyncio
import ctypes
import itertools
import json
import logging
import queue
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import jinja2
import llama_cpp as native
import numpy as np
from llama_cpp.llama_chat_format import Jinja2ChatFormatter
from llama_cpp.llama_grammar import json_schema_to_gbnf

from carecall.errors import DeadlineExceeded, LanguageModelError
from carecall.llm.port import Message
from carecall.llm.structured import checked

SLOTS = 4  # prefixes kept warm at once
_CHUNK = 64  # tokens evaluated before a stopped prompt would lose its work
_WASTE = 64  # evaluated tokens that a slot may give up before the prompt takes a slot of its own
_CANDIDATES = 64  # tokens tried against a grammar before the whole vocabulary is
_TOP_K = 40  # tokens to draw from above temperature 0
_ABORTED = 2  # llama_decode's code

_log = logging.getLogger(__name__)


def _log_native(_level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    _log.debug("%s", text.decode("utf-8", "replace").rstrip())


_to_log = native.llama_log_callback(_log_native)  # kept for as long as llama.cpp may call it


class _Kind(IntEnum):
    """What a job is for; the lower goes first."""

    COMPLETE = 0
    WARM = 1
    CLOSE = 2


@dataclass(slots=True, eq=False)
class _Job:
    kind: _Kind
    messages: Sequence[Message] = ()
    max_tokens: int = 0
    schema: Mapping[str, Any] | None = None
    stop: Sequence[str] = ()
    temperature: float = 0.0
    stopped: bool = False
    reply: Future[str] = field(default_factory=Future)


class _Stopped(Exception):
    """The job at hand is not wanted any more."""


class LlamaCpp:
    """A GGUF model behind the language model port.

    The file is loaded at the first call, best a ``warm``. Jobs are served in the order they came, but completions
    before warming, which gives way within a few tokens. A GPU is used where llama.cpp was built for one.
    """

    def __init__(self, path: Path, threads: int, context: int = 2048) -> None:
        self._path = path
        self._threads = threads
        self._context = context
        self._jobs: queue.PriorityQueue[tuple[_Kind, int, _Job]] = queue.PriorityQueue()
        self._order = itertools.count()
        self._state = threading.Lock()
        self._worker: threading.Thread | None = None
        self._running: _Job | None = None
        self._abort = ctypes.create_string_buffer(2)  # "" goes on, one byte stops
        self._completions_waiting = 0
        self._closed = False
        self.evaluated = 0  # prompt tokens evaluated so far; what a warm prefix saves is not among them

    @property
    def name(self) -> str:
        return self._path.stem

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
        job = _Job(_Kind.COMPLETE, tuple(messages), max_tokens, schema, tuple(stop), temperature)
        try:
            async with asyncio.timeout(deadline_s):
                reply = await self._submit(job)
        except TimeoutError:
            raise DeadlineExceeded(f"{self.name} did not answer within {deadline_s:g} s.") from None
        finally:
            self._stop(job)
        return reply if schema is None else checked(reply, schema)

    async def warm(self, messages: Sequence[Message]) -> None:
        job = _Job(_Kind.WARM, tuple(messages))
        try:
            await self._submit(job)
        finally:
            self._stop(job)

    async def close(self) -> None:
        """Stops what runs and frees the model."""
        with self._state:
            worker, self._worker = self._worker, None
            self._closed = True
            if self._running is not None:
                self._running.stopped = True
            self._abort[0] = b"\1"
        if worker is not None:
            self._jobs.put((_Kind.CLOSE, -1, _Job(_Kind.CLOSE)))
            await asyncio.to_thread(worker.join)

    def _submit(self, job: _Job) -> asyncio.Future[str]:
        with self._state:
            if self._closed:
                raise LanguageModelError(f"{self.name} is closed.")
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name=f"llm {self.name}", daemon=True)
                self._worker.start()
            self._completions_waiting += job.kind is _Kind.COMPLETE
            self._jobs.put((job.kind, next(self._order), job))
        return asyncio.wrap_future(job.reply)

    def _stop(self, job: _Job) -> None:
        with self._state:
            job.stopped = True
            if self._running is job:
                self._abort[0] = b"\1"

    def _work(self) -> None:
        """The thread that owns the model."""
        model: _Model | None = None
        unusable: LanguageModelError | None = None
        while True:
            kind, order, job = self._jobs.get()
            with self._state:
                self._completions_waiting -= kind is _Kind.COMPLETE
                if kind is _Kind.CLOSE or self._closed:
                    break
                self._running = job
                self._abort[0] = b"\0"
            try:
                if job.stopped:
                    raise _Stopped
                if unusable is not None:
                    raise unusable
                if model is None:
                    try:
                        model = _Model(self._path, self._threads, self._context, self._abort)
                    except LanguageModelError as error:
                        unusable = error
                        raise
                if kind is _Kind.COMPLETE:
                    _answer(job, model.complete(job))
                else:
                    for _ in model.warm(job):
                        if self._completions_waiting:
                            self._jobs.put((kind, order, job))
                            break
                    else:
                        _answer(job, "")
            except _Stopped:
                _fail(job, LanguageModelError(f"{self.name} was stopped."))
            except Exception as error:  # noqa: BLE001 - the boundary of a job
                _fail(job, error)
            finally:
                with self._state:
                    self._running = None
                    self.evaluated = 0 if model is None else model.evaluated
        if model is not None:
            model.close()
        self._refuse_rest(job)

    def _refuse_rest(self, job: _Job) -> None:
        closed = LanguageModelError(f"{self.name} is closed.")
        _fail(job, closed)
        with suppress(queue.Empty):
            while True:
                _fail(self._jobs.get_nowait()[2], closed)


def _answer(job: _Job, reply: str) -> None:
    if job.reply.set_running_or_notify_cancel():
        job.reply.set_result(reply)


def _fail(job: _Job, error: Exception) -> None:
    if not isinstance(error, LanguageModelError):
        _log.debug("llama.cpp failed", exc_info=error)
        error = LanguageModelError(f"llama.cpp failed ({type(error).__name__}).")
    if not job.reply.cancelled() and job.reply.set_running_or_notify_cancel():
        job.reply.set_exception(error)


@dataclass(slots=True)
class _Slot:
    sequence: int
    tokens: list[int] = field(default_factory=list)  # evaluated, in order
    held: int = 0  # leading tokens that warm asked to keep
    used: int = 0  # when last, in jobs

    def shared(self, tokens: Sequence[int]) -> int:
        """How many leading tokens are the same."""
        return next(
            (at for at, (mine, theirs) in enumerate(zip(self.tokens, tokens, strict=False)) if mine != theirs),
            min(len(self.tokens), len(tokens)),
        )


class _Model:
    """The loaded model; used by one thread only."""

    def __init__(self, path: Path, threads: int, context: int, abort: ctypes.Array[ctypes.c_char]) -> None:
        native.llama_log_set(_to_log, ctypes.c_void_p(0))
        native.llama_backend_init()
        parameters = native.llama_model_default_params()
        parameters.n_gpu_layers = 999
        self._model = native.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise LanguageModelError(f"llama.cpp cannot load {path}. Run 'carecall models fetch --verify'.")
        self._length = context
        self._context = self._new_context(threads)
        self._memory = native.llama_get_memory(self._context)
        # Asked at every node of the graph by llama.cpp's own threads: a C function that needs no interpreter lock.
        # strlen gives 0 (go on) for an empty string and 1 (stop) for one byte.
        self._should_abort = ctypes.cast(ctypes.CDLL(None).strlen, native.ggml_abort_callback)
        self._flag = abort
        native.llama_set_abort_callback(self._context, self._should_abort, ctypes.cast(abort, ctypes.c_void_p))
        self._vocabulary = native.llama_model_get_vocab(self._model)
        self._size = native.llama_vocab_n_tokens(self._vocabulary)
        self._control = self._control_tokens()
        self._formatters = {reply: self._formatter(reply) for reply in (False, True)}
        self._slots = [_Slot(sequence) for sequence in range(SLOTS)]
        self._jobs = itertools.count(1)
        self.evaluated = 0
        self._batch = native.llama_batch_init(_CHUNK, 0, 1)
        self._grammars: dict[str, bytes] = {}

    def _new_context(self, threads: int) -> Any:
        parameters = native.llama_context_default_params()
        parameters.n_ctx = self._length * SLOTS
        parameters.n_seq_max = SLOTS
        parameters.kv_unified = False
        parameters.n_batch = parameters.n_ubatch = _CHUNK
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.no_perf = True
        context = native.llama_init_from_model(self._model, parameters)
        if not context:
            native.llama_model_free(self._model)
            raise LanguageModelError("llama.cpp has no memory for the model's context. Set a smaller model.")
        return context

    def close(self) -> None:
        native.llama_batch_free(self._batch)
        native.llama_free(self._context)
        native.llama_model_free(self._model)

    def warm(self, job: _Job) -> Iterator[None]:
        """Evaluates a prefix, a few tokens between yields, and holds it."""
        if not job.messages:
            return
        tokens = self._tokens(self._prompt(job.messages, reply=False))[: self._length]
        slot = next((slot for slot in self._slots if slot.shared(tokens) == len(tokens)), None) or self._slot_for(
            tokens
        )
        for _ in self._evaluate(job, slot, tokens):
            yield
        slot.held = max(slot.held, len(tokens))
        slot.used = next(self._jobs)

    def complete(self, job: _Job) -> str:
        tokens = self._tokens(self._prompt(job.messages, reply=True))
        if len(tokens) + job.max_tokens > self._length:
            raise LanguageModelError(
                f"The prompt has {len(tokens)} tokens, and with {job.max_tokens} for the reply the context of "
                f"{self._length} is too short."
            )
        slot = self._slot_for(tokens)
        for _ in self._evaluate(job, slot, tokens):
            pass
        grammar = self._grammar(job.schema) if job.schema is not None else None
        try:
            return self._generate(job, slot, grammar)
        finally:
            if grammar is not None:
                native.llama_sampler_free(grammar)

    def _generate(self, job: _Job, slot: _Slot, grammar: Any | None) -> str:
        reply = b""
        for count in range(1, job.max_tokens + 1):
            token = self._draw(grammar, job.temperature)
            if native.llama_vocab_is_eog(self._vocabulary, token):
                break
            if grammar is not None:
                native.llama_sampler_accept(grammar, token)
            reply += self._piece(token)
            text = reply.decode("utf-8", "ignore")
            if cut := [at for each in job.stop if (at := text.find(each)) >= 0]:
                return text[: min(cut)].strip()
            if count < job.max_tokens:
                self._decode(job, slot, [token])
        return reply.decode("utf-8", "ignore").strip()

    def _prompt(self, messages: Sequence[Message], *, reply: bool) -> str:
        """Messages in the model's own chat template; what is said cannot forge the template's control tokens."""
        said: list[Any] = [{"role": each.role, "content": self._control.sub("", each.content)} for each in messages]
        try:
            return str(self._formatters[reply](messages=said).prompt)
        except (jinja2.TemplateError, ValueError) as error:
            raise LanguageModelError(f"The model's chat template refuses the messages: {error}") from None

    def _formatter(self, reply: bool) -> Jinja2ChatFormatter:
        template = native.llama_model_chat_template(self._model, None)
        if not template:
            raise LanguageModelError("The model file has no chat template. Use an instruction-tuned model.")
        return Jinja2ChatFormatter(
            template=template.decode("utf-8"),
            bos_token=self._text(native.llama_vocab_bos(self._vocabulary)),
            eos_token=self._text(native.llama_vocab_eos(self._vocabulary)),
            add_generation_prompt=reply,
        )

    def _tokens(self, text: str) -> list[int]:
        raw = text.encode("utf-8")
        room = len(raw) + 1
        tokens = (native.llama_token * room)()
        count = native.llama_tokenize(self._vocabulary, raw, len(raw), tokens, room, False, True)
        return list(tokens[:count])

    def _piece(self, token: int, *, special: bool = False) -> bytes:
        room = ctypes.create_string_buffer(256)
        length = native.llama_token_to_piece(self._vocabulary, token, room, len(room), 0, special)
        return room.raw[: max(length, 0)]

    def _text(self, token: int) -> str:
        return self._piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def _control_tokens(self) -> re.Pattern[str]:
        texts = {
            self._text(token) for token in range(self._size) if native.llama_vocab_is_control(self._vocabulary, token)
        }
        ordered = sorted(filter(None, texts), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, ordered)) or "(?!)")

    def _slot_for(self, tokens: Sequence[int]) -> _Slot:
        """The slot to evaluate tokens in, cut back to what it shares with them."""
        now = next(self._jobs)
        best = max(self._slots, key=lambda slot: (slot.shared(tokens), -len(slot.tokens)))
        best.used = now
        shared = min(best.shared(tokens), len(tokens) - 1)  # the last token must be evaluated for its logits
        if len(best.tokens) - shared > _WASTE or shared < best.held:
            others = [slot for slot in self._slots if slot is not best]
            free = min(others, key=lambda slot: (slot.held > 0, slot.used))
            if best.held or not free.held:
                self._cut(free, 0)
                if shared:
                    native.llama_memory_seq_cp(self._memory, best.sequence, free.sequence, -1, -1)
                    free.tokens = list(best.tokens)
                free.used = now
                best = free
        self._cut(best, shared)
        return best

    def _cut(self, slot: _Slot, length: int) -> None:
        slot.held = min(slot.held, length)
        if len(slot.tokens) > length:
            if not native.llama_memory_seq_rm(self._memory, slot.sequence, length, -1):
                length = 0
                native.llama_memory_seq_rm(self._memory, slot.sequence, -1, -1)
            del slot.tokens[length:]

    def _evaluate(self, job: _Job, slot: _Slot, tokens: Sequence[int]) -> Iterator[None]:
        while len(slot.tokens) < len(tokens):
            chunk = tokens[len(slot.tokens) : len(slot.tokens) + _CHUNK]
            self._decode(job, slot, chunk)
            self.evaluated += len(chunk)
            yield

    def _decode(self, job: _Job, slot: _Slot, tokens: Sequence[int]) -> None:
        if job.stopped:
            raise _Stopped
        batch = self._batch
        batch.n_tokens = len(tokens)
        for at, token in enumerate(tokens):
            batch.token[at] = token
            batch.pos[at] = len(slot.tokens) + at
            batch.n_seq_id[at] = 1
            batch.seq_id[at][0] = slot.sequence
            batch.logits[at] = at == len(tokens) - 1
        code = native.llama_decode(self._context, batch)
        if code != 0:
            native.llama_memory_seq_rm(self._memory, slot.sequence, len(slot.tokens), -1)
            if code == _ABORTED:
                raise _Stopped
            raise LanguageModelError(f"llama.cpp could not evaluate the prompt (code {code}).")
        slot.tokens.extend(tokens)

    def _draw(self, grammar: Any | None, temperature: float) -> int:
        """The next token: the likeliest, or above temperature 0 one drawn from the likeliest few."""
        logits = np.ctypeslib.as_array(native.llama_get_logits_ith(self._context, -1), shape=(self._size,))
        if grammar is None and temperature <= 0:
            return int(logits.argmax())
        likeliest = np.argpartition(logits, -_CANDIDATES)[-_CANDIDATES:]
        weights = logits[likeliest]
        if grammar is not None:
            allowed = self._allowed(grammar, likeliest, weights)
            if not np.isfinite(allowed).any():
                likeliest = np.arange(self._size)
                allowed = self._allowed(grammar, likeliest, logits)
                if not np.isfinite(allowed).any():
                    raise LanguageModelError("llama.cpp finds no token that the schema allows.")
            weights = allowed
        if temperature <= 0:
            return int(likeliest[weights.argmax()])
        top = np.argsort(weights)[-_TOP_K:]
        chances = np.exp((weights[top] - weights.max()) / temperature, dtype=np.float64)
        return int(np.random.default_rng().choice(likeliest[top], p=chances / chances.sum()))

    def _allowed(
        self, grammar: Any, tokens: np.ndarray[Any, Any], logits: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        """The logits, minus infinity where the grammar forbids a token."""
        candidates = np.zeros(len(tokens), dtype=[("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        candidates["id"] = tokens
        candidates["logit"] = logits
        view = native.llama_token_data_array(
            data=candidates.ctypes.data_as(native.llama_token_data_p), size=len(tokens), selected=-1, sorted=False
        )
        native.llama_sampler_apply(grammar, ctypes.byref(view))
        return np.asarray(candidates["logit"])

    def _grammar(self, schema: Mapping[str, Any]) -> Any:
        text = json.dumps(schema, ensure_ascii=False)
        if text not in self._grammars:
            try:
                self._grammars[text] = json_schema_to_gbnf(text).encode("utf-8")
            except (ValueError, LookupError, TypeError, AttributeError, AssertionError):
                raise LanguageModelError("llama.cpp cannot constrain a reply to this schema.") from None
        grammar = native.llama_sampler_init_grammar(self._vocabulary, self._grammars[text], b"root")
        if not grammar:
            raise LanguageModelError("llama.cpp cannot constrain a reply to this schema.")
        return grammar
