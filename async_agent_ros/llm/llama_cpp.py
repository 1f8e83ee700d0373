"""
llama.cpp in this process, through the wheels of xllamacpp: the fast engine on a CPU.

One slot of its server (llama_server.py) per agent instance keeps that instance's KV cache;
llama.cpp itself prefills only what differs from the slot's last tokens. The prefill goes in small
chunks, because that is where it can be stopped.
"""
import hashlib
import os
import pathlib
import threading
import time
from typing import Iterator, Optional

from async_agent_ros import models
from async_agent_ros.core.chatml_format import PAUSE_MARK
from async_agent_ros.llm import grammar
from async_agent_ros.llm.engine import (
    EngineError, EngineInfo, GenerationRequest, GenerationStats, ModelMissingError, PAUSE_PENALTY)
from async_agent_ros.llm.jump import Stretch, Stretches
from async_agent_ros.llm.llama_server import LlamaServer
from async_agent_ros.llm.turns import FIRST, Turns


class LlamaCppEngine:
    """
    Engine on GGUF weights.

    :param model: name of a packaged model or path of a GGUF file.
    :param threads: CPU threads of decoding and prefill.
    :param context_tokens: tokens of KV cache, shared by all instances.
    :param prefill_chunk: tokens between two chances to stop a prefill.
    :param instances: most agent instances with a cache of their own; the one idle longest
        gives its slot to a newcomer.
    :param gpu_layers: layers on the GPU, -1 all; only with a wheel that was built for it.
    :param temperature: 0.0 always takes the likeliest token.
    :param constrain: let only calls of the catalogue's tools be written (llguidance).
    :param call_ids: constrained calls may have ids, and take parts of the results of others.
    :param repack: let llama.cpp rearrange quantised weights at load. Measured slower by half on
        AVX2 with the Q4_K weights of the packaged models, hence off.
    :param adapter: GGUF file of an adapter that was trained for the model.
    :param pause_penalty: taken from the logit of `<pause>` in a reaction to words that go on.
    :param prefix_folder: where `warm` keeps caches between runs; '' keeps none.
    """

    def __init__(self, model: str = 'qwen2.5-coder-1.5b', threads: int = 2,
                 context_tokens: int = 8192, prefill_chunk: int = 32, instances: int = 4,
                 gpu_layers: int = 0, temperature: float = 0.0, seed: int = 0,
                 constrain: bool = True, call_marker: str = grammar.CALL_MARKER,
                 repack: bool = False, prefix_folder: Optional[str] = None,
                 adapter: str = '', call_ids: bool = False,
                 pause_penalty: float = PAUSE_PENALTY):
        self._model = model
        self._threads = threads
        self._context_tokens = context_tokens
        self._prefill_chunk = prefill_chunk
        self._instances = instances
        self._gpu_layers = gpu_layers
        self._temperature = temperature
        self._seed = seed
        self._constrain = constrain
        self._marker = call_marker
        self._repack = repack
        self._prefix_folder = prefix_folder
        self._adapter = adapter
        self._call_ids = call_ids
        self._pause_penalty = pause_penalty
        self._pause_token = -1
        self._server: Optional[LlamaServer] = None
        self._path: Optional[pathlib.Path] = None
        self._turns = Turns()

    def load(self) -> None:
        """Load the weights; raises ModelMissingError or EngineError with the remedy."""
        if self._server is not None:
            return
        self._path = gguf_path(self._model)
        if self._prefix_folder is None:
            self._prefix_folder = str(models.root() / '.prefixes')
        self._server = LlamaServer(
            self._path, self._adapter and self._adapter_path(), threads=self._threads,
            context_tokens=self._context_tokens, prefill_chunk=self._prefill_chunk,
            slots=self._instances, gpu_layers=self._gpu_layers, repack=self._repack,
            folder=self._prefix_folder)
        if self._pause_penalty:
            self._pause_token = self._server.first_token(PAUSE_MARK)
        if self._constrain:
            # with its first grammar llguidance reads the vocabulary, which takes a second
            first = {'prompt': 'Hello', 'max_tokens': 1, 'grammar': grammar.lark(())}
            for _ in self._server.chunks('main', first, threading.Event()):
                pass

    @property
    def _loaded(self) -> LlamaServer:
        if self._server is None:
            raise EngineError('the engine llama_cpp is not loaded; call load() first')
        return self._server

    def _adapter_path(self) -> str:
        path = pathlib.Path(self._adapter).expanduser()
        if not path.is_file():
            raise EngineError(f'adapter: there is no GGUF file {path}; make one with: async-agent '
                              'train export --to gguf')
        return str(path)

    def info(self) -> EngineInfo:
        """Describe what is loaded."""
        return EngineInfo(
            'llama_cpp', self._model, 'gpu' if self._gpu_layers else 'cpu', self._context_tokens,
            {'threads': self._threads, 'prefill_chunk': self._prefill_chunk,
             'constrain': self._constrain, 'temperature': self._temperature,
             'adapter': self._adapter})

    def stream(self, request: GenerationRequest, abort: threading.Event) -> Iterator[str]:
        """Yield text as it is decoded; see Engine.stream."""
        body = {
            'prompt': request.prompt, 'max_tokens': request.max_tokens, 'stop': list(request.stop),
            'temperature': self._temperature, 'seed': self._seed,
        }
        if request.reacts and self._pause_token >= 0:
            body['logit_bias'] = [[self._pause_token, -self._pause_penalty]]
        if request.instance == FIRST:
            with self._turns.session(True):
                yield from self._output(request, body, abort)
        else:
            yield from self._in_the_background(request, body, abort)
        if abort.is_set():
            request.stats.finish_reason = 'abort'

    def _output(self, request, body, stop, calls=0) -> Iterator[str]:
        """
        Yield an output; calls that are constrained come stretch by stretch (jump.py).

        `calls`: how many of them were written before.
        """
        if not (self._constrain and request.tools):
            yield from self._texts(request, body, stop)
            return
        stretches = Stretches(request.tools, self._marker, self._call_ids,
                              request.next_call and request.next_call + calls)
        stretch: Optional[Stretch] = stretches.first()
        before, prompt, stats = request.stats.output_tokens, body['prompt'], request.stats
        while stretch is not None:
            if stop.is_set():
                return
            if stretch.forced:
                yield stretch.forced
            if stretch.over:
                return
            left = request.max_tokens - (stats.output_tokens - before)
            if left <= 0:
                stats.finish_reason = 'length'
                return
            prompt, text = prompt + stretch.forced, ''
            stats.finish_reason = ''
            for piece in self._texts(request, {
                    **body, 'prompt': prompt, 'max_tokens': left, 'grammar': stretch.grammar,
                    'stop': [*request.stop, *stretch.stops]}, stop):
                text += piece
                yield piece
            if stop.is_set() or stats.finish_reason == 'length':
                return
            prompt += text
            stretch = stretches.after(text)

    def _texts(self, request, body, stop) -> Iterator[str]:
        stats, part = request.stats, GenerationStats()
        for chunk in self._loaded.chunks(request.instance, body, stop):
            text = chunk['choices'][0].get('text') if chunk.get('choices') else ''
            _count(chunk, part)
            if not stats.prompt_tokens:
                stats.prompt_tokens, stats.cached_tokens = part.prompt_tokens, part.cached_tokens
            # what was put behind the prompt belongs to the output
            behind = max(0, part.prompt_tokens - stats.prompt_tokens)
            stats.output_tokens = behind + part.output_tokens
            stats.finish_reason = part.finish_reason
            if text:
                yield text

    def _in_the_background(self, request, body, abort) -> Iterator[str]:
        """
        Generate for a helper: it stops when the person is answered, and goes on afterwards.

        It goes on after the last whole line, because a grammar can only begin at one; the slot's
        cache still holds what was read.
        """
        lines, stop = '', _Either(abort, lambda: self._turns.first_is_here)
        while self._turns.wait_until_free(abort):
            open_line = ''
            again = {**body, 'prompt': request.prompt + lines}
            calls = sum(line.startswith(f'{self._marker} ') for line in lines.split('\n'))
            for text in self._output(request, again, stop, calls):
                whole, newline, open_line = (open_line + text).rpartition('\n')
                if newline:
                    lines += whole + newline
                    yield whole + newline
            if not stop.is_set() or request.stats.finish_reason:
                yield open_line
                return

    def warm(self, instance: str, prompt: str, abort: Optional[threading.Event] = None,
             keep: bool = False) -> float:
        """
        Fill the cache of an instance with a prompt's beginning; return the seconds it took.

        `keep`: the filled cache is kept on disk, and taken from there the next time the same
        prompt is warmed with the same weights: a start that would prefill for 20 s takes a tenth
        of one.
        """
        started = time.monotonic()
        abort = abort or threading.Event()
        key = hashlib.sha256('\0'.join((
            *_stamp(self._path), *(_stamp(pathlib.Path(self._adapter_path())) if self._adapter
                                   else ()), prompt)).encode()).hexdigest()[:24] + '.kv'
        path = keep and self._prefix_folder and os.path.join(self._prefix_folder, key)
        if path and os.path.exists(path) and self._loaded.restore(instance, key):
            os.utime(path)
            return time.monotonic() - started
        for _ in self._loaded.chunks(instance, {'prompt': prompt, 'max_tokens': 1}, abort):
            pass
        if path and not abort.is_set():
            self._loaded.save(instance, key)
            _keep_newest(self._prefix_folder, 4)
        return time.monotonic() - started

    def fork(self, parent: str, child: str) -> None:
        """Give `child` a copy of the cache of `parent`, where it has one."""
        if self._server is not None:
            self._server.copy(parent, child)

    def forget(self, instance: str) -> None:
        """Free the slot of an instance that has ended."""
        if self._server is not None:
            self._server.forget(instance)

    def close(self) -> None:
        """Stop what runs and free the weights."""
        server, self._server = self._server, None
        if server is not None:
            server.close()


class _Either:
    """Looks like an event: set when the event is, or when the condition holds."""

    def __init__(self, event: threading.Event, condition):
        self._event, self._condition = event, condition

    def is_set(self) -> bool:
        return self._event.is_set() or self._condition()


def gguf_path(model: str) -> pathlib.Path:
    """Return the GGUF file of a packaged model or of a path; raises ModelMissingError."""
    try:
        path = models.find(model)
    except models.ModelMissingError as error:
        raise ModelMissingError(str(error)) from error
    if path.is_dir():
        path = path / 'model.gguf'
    if not path.is_file():
        raise ModelMissingError(f'there is no GGUF file at {path}; name a packaged model '
                                f'(async-agent models list) or a path that ends in .gguf')
    return path


def _count(chunk, stats):
    progress = chunk.get('prompt_progress')
    if progress:
        stats.prompt_tokens = progress['total']
        stats.cached_tokens = progress['cache']
        return
    if chunk['choices'] and chunk['choices'][0].get('finish_reason'):
        stats.finish_reason = chunk['choices'][0]['finish_reason']
        usage = chunk.get('usage') or {}
        stats.output_tokens = usage.get('completion_tokens', stats.output_tokens)
        stats.prompt_tokens = usage.get('prompt_tokens', stats.prompt_tokens)
    else:
        stats.output_tokens += 1


def _stamp(path: pathlib.Path):
    """Return what tells one file of weights from another."""
    return str(path), str(path.stat().st_size), str(path.stat().st_mtime_ns)


def _keep_newest(folder, count):
    files = sorted(pathlib.Path(folder).glob('*.kv'), key=lambda p: p.stat().st_mtime)
    for path in files[:-count]:
        path.unlink(missing_ok=True)
