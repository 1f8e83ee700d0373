"""
llama.cpp in this process, through the wheels of xllamacpp: the fast engine on a CPU.

One server slot per agent instance keeps that instance's KV cache; llama.cpp itself prefills only
what differs from the slot's last tokens. The prefill goes in small chunks, because that is where
it can be stopped.
"""
import hashlib
import importlib
import json
import os
import pathlib
import queue
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from typing import Any, Dict, Iterator, Optional

from async_agent_ros import models
from async_agent_ros.core.chatml_format import PAUSE_MARK
from async_agent_ros.llm import grammar
from async_agent_ros.llm.engine import (
    EngineError, EngineInfo, GenerationRequest, GenerationStats, ModelMissingError, PAUSE_PENALTY)
from async_agent_ros.llm.jump import Stretch, Stretches
from async_agent_ros.llm.turns import FIRST, Turns

_POLL_S = 0.01
_DONE = object()


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
        self._server: Any = None
        self._api_key = secrets.token_hex(16)
        self._path: Optional[pathlib.Path] = None
        self._slots: 'OrderedDict[str, int]' = OrderedDict()
        self._lock = threading.Lock()
        self._turns = Turns()
        self._workers: set = set()

    def load(self) -> None:
        """Load the weights; raises ModelMissingError or EngineError with the remedy."""
        if self._server is not None:
            return
        # OpenMP's threads spin while they wait for each other. On cores that are shared with the
        # recogniser and the voice, the one they wait for is then not running, and a token takes
        # seconds; threads that sleep at once wake too late on idle cores. So they spin for some
        # microseconds (figures: docs/engines.md). Read at import.
        if 'OMP_WAIT_POLICY' not in os.environ:
            os.environ.setdefault('GOMP_SPINCOUNT', '1000')
        try:
            xllamacpp = importlib.import_module('xllamacpp')
        except ImportError as error:
            raise EngineError(
                f'the engine llama_cpp needs the package xllamacpp ({error}); get it with: '
                f'pip install xllamacpp') from error
        self._path = gguf_path(self._model)
        if self._prefix_folder is None:
            self._prefix_folder = str(models.root() / '.prefixes')
        params = xllamacpp.CommonParams()
        params.model.path = str(self._path)
        if self._adapter:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(self._adapter_path(), 1.0)]
        params.n_ctx = self._context_tokens
        params.n_parallel = self._instances
        params.kv_unified = True
        params.n_batch = params.n_ubatch = self._prefill_chunk
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.n_gpu_layers = self._gpu_layers
        params.no_extra_bufts = not self._repack
        if self._gpu_layers == 0:
            params.flash_attn_type = \
                xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.fit_params = False
        params.cache_ram_mib = 0
        params.verbosity = 0
        params.ui = False
        # the server in the wheel always listens on loopback; nobody else shall use it
        params.api_keys = [self._api_key]
        if self._prefix_folder:
            os.makedirs(self._prefix_folder, exist_ok=True)
            params.slot_save_path = os.path.join(self._prefix_folder, '')
        try:
            self._server = xllamacpp.Server(params)
        except Exception as error:
            raise EngineError(
                f'llama.cpp cannot load {self._path}: {error}; check that it is a GGUF file and '
                f'that there is memory for it') from error
        if self._pause_penalty:
            try:
                self._pause_token = self._ask('tokenize', {'content': PAUSE_MARK})['tokens'][0]
            except OSError as error:
                raise EngineError(f'llama.cpp does not answer on its port of this machine: {error}'
                                  ) from error
        if self._constrain:
            # with its first grammar llguidance reads the vocabulary, which takes a second
            for _ in self._chunks('main', {'prompt': 'Hello', 'max_tokens': 1,
                                           'grammar': grammar.lark(())}, threading.Event()):
                pass

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
        for chunk in self._chunks(request.instance, body, stop):
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
        if path and os.path.exists(path) and self._slot_action(instance, 'restore', key):
            os.utime(path)
            return time.monotonic() - started
        for _ in self._chunks(instance, {'prompt': prompt, 'max_tokens': 1}, abort):
            pass
        if path and not abort.is_set():
            self._slot_action(instance, 'save', key)
            _keep_newest(self._prefix_folder, 4)
        return time.monotonic() - started

    def fork(self, parent: str, child: str) -> None:
        """Give `child` a copy of the cache of `parent`, where it has one."""
        if parent in self._slots and self._prefix_folder:
            name = f'fork-{os.getpid()}.tmp'
            if self._slot_action(parent, 'save', name):
                self._slot_action(child, 'restore', name)
                os.unlink(os.path.join(self._prefix_folder, name))

    def forget(self, instance: str) -> None:
        """Free the slot of an instance that has ended."""
        with self._lock:
            self._slots.pop(instance, None)

    def close(self) -> None:
        """Stop what runs and free the weights."""
        server, self._server = self._server, None
        for worker in list(self._workers):
            worker.join(timeout=5.0)
        self._slots.clear()
        del server

    def _chunks(self, instance, body, abort) -> Iterator[Dict[str, Any]]:
        """Run one completion in a thread of its own, so that an abort is never waited for."""
        server = self._server
        if server is None:
            raise EngineError('the engine llama_cpp is not loaded; call load() first')
        body = {**body, 'stream': True, 'cache_prompt': True, 'return_progress': True,
                'id_slot': self._slot(instance)}
        out: 'queue.SimpleQueue' = queue.SimpleQueue()
        stop = threading.Event()

        def take(chunk):
            out.put(chunk)
            # a process that ends without close() must not be held up by a long generation
            return stop.is_set() or abort.is_set() or not threading.main_thread().is_alive()

        def work():
            try:
                server.handle_completions(body, take)
                out.put(_DONE)
            except Exception as error:
                out.put(error)
            finally:
                self._workers.discard(threading.current_thread())

        # no daemon: Python would end it inside llama.cpp's C++ frames, which crashes the process
        worker = threading.Thread(target=work, name=f'llama-{instance}', daemon=False)
        self._workers.add(worker)
        worker.start()
        try:
            while not abort.is_set():
                try:
                    item = out.get(timeout=_POLL_S)
                except queue.Empty:
                    continue
                if item is _DONE:
                    return
                if isinstance(item, Exception):
                    raise EngineError(f'llama.cpp failed: {item}') from item
                if 'error' in item:
                    raise EngineError(_explain(item['error'], self._context_tokens))
                yield item
        finally:
            stop.set()

    def _slot(self, instance) -> int:
        with self._lock:
            if instance not in self._slots:
                free = set(range(self._instances)) - set(self._slots.values())
                if not free:
                    free = {self._slots.popitem(last=False)[1]}
                self._slots[instance] = min(free)
            self._slots.move_to_end(instance)
            return self._slots[instance]

    def _slot_action(self, instance, action, filename) -> bool:
        try:
            self._ask(f'slots/{self._slot(instance)}?action={action}', {'filename': filename})
            return True
        except OSError:
            return False  # a cache that cannot be kept costs time, nothing else

    def _ask(self, path, body) -> Dict[str, Any]:
        request = urllib.request.Request(
            f'{self._server.listening_address}/{path}', data=json.dumps(body).encode(),
            method='POST', headers={'Content-Type': 'application/json',
                                    'Authorization': f'Bearer {self._api_key}'})
        with urllib.request.urlopen(request, timeout=30.0) as answer:
            return json.load(answer)


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


def _explain(error, context_tokens):
    message = error.get('message', str(error)) if isinstance(error, dict) else str(error)
    if isinstance(error, dict) and error.get('type') == 'exceed_context_size_error':
        return (f'the prompt has {error.get("n_prompt_tokens", "too many")} tokens, the context '
                f'holds {context_tokens}; raise context_tokens or start a new session')
    return f'llama.cpp refused the request: {message}'


def _stamp(path: pathlib.Path):
    """Return what tells one file of weights from another."""
    return str(path), str(path.stat().st_size), str(path.stat().st_mtime_ns)


def _keep_newest(folder, count):
    files = sorted(pathlib.Path(folder).glob('*.kv'), key=lambda p: p.stat().st_mtime)
    for path in files[:-count]:
        path.unlink(missing_ok=True)
