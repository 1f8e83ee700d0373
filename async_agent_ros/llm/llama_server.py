"""llama.cpp's server in this process: a slot for every agent instance, and its caches on disk."""
import importlib
import json
import os
import pathlib
import queue
import secrets
import threading
import urllib.request
from collections import OrderedDict
from typing import Any, Dict, Iterator

from async_agent_ros.llm.abortable import DONE, until_abort
from async_agent_ros.llm.engine import EngineError


class LlamaServer:
    """
    The server of xllamacpp; loads the weights, raises EngineError with the remedy.

    :param path: GGUF file of the weights.
    :param adapter: GGUF file of an adapter, '' none.
    :param threads: CPU threads of decoding and prefill.
    :param context_tokens: tokens of KV cache, shared by all slots.
    :param prefill_chunk: tokens between two chances to stop a prefill.
    :param slots: most instances with a cache of their own; the one idle longest gives its slot to
        a newcomer.
    :param gpu_layers: layers on the GPU, -1 all.
    :param repack: let llama.cpp rearrange quantised weights.
    :param folder: where caches are kept, '' for none.
    """

    def __init__(self, path: pathlib.Path, adapter: str, *, threads: int, context_tokens: int,
                 prefill_chunk: int, slots: int, gpu_layers: int, repack: bool, folder: str):
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
        self._context_tokens = context_tokens
        self._count = slots
        self._folder = folder
        self._api_key = secrets.token_hex(16)
        self._slots: 'OrderedDict[str, int]' = OrderedDict()
        self._lock = threading.Lock()
        self._workers: set = set()
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        if adapter:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 1.0)]
        params.n_ctx = context_tokens
        params.n_parallel = slots
        params.kv_unified = True
        params.n_batch = params.n_ubatch = prefill_chunk
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.n_gpu_layers = gpu_layers
        params.no_extra_bufts = not repack
        if gpu_layers == 0:
            params.flash_attn_type = \
                xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.fit_params = False
        params.cache_ram_mib = 0
        params.verbosity = 0
        params.ui = False
        # the server in the wheel always listens on loopback; nobody else shall use it
        params.api_keys = [self._api_key]
        if folder:
            os.makedirs(folder, exist_ok=True)
            params.slot_save_path = os.path.join(folder, '')
        try:
            self._server: Any = xllamacpp.Server(params)
        except Exception as error:
            raise EngineError(
                f'llama.cpp cannot load {path}: {error}; check that it is a GGUF file and '
                f'that there is memory for it') from error

    def first_token(self, text: str) -> int:
        """Return the id of the token with which a text begins."""
        try:
            return self._ask('tokenize', {'content': text})['tokens'][0]
        except OSError as error:
            raise EngineError(f'llama.cpp does not answer on its port of this machine: {error}'
                              ) from error

    def chunks(self, instance: str, body: Dict[str, Any], abort: Any
               ) -> Iterator[Dict[str, Any]]:
        """
        Run one completion in the slot of an instance; yield what the server sends of it.

        It runs in a thread of its own, so that an abort is never waited for. `abort`: an event,
        or what has its `is_set`.
        """
        server = self._server
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
                out.put(DONE)
            except Exception as error:
                out.put(error)
            finally:
                self._workers.discard(threading.current_thread())

        # no daemon: Python would end it inside llama.cpp's C++ frames, which crashes the process
        worker = threading.Thread(target=work, name=f'llama-{instance}', daemon=False)
        self._workers.add(worker)
        worker.start()
        try:
            for item in until_abort(out, abort):
                if isinstance(item, Exception):
                    raise EngineError(f'llama.cpp failed: {item}') from item
                if 'error' in item:
                    raise EngineError(_explain(item['error'], self._context_tokens))
                yield item
        finally:
            stop.set()

    def save(self, instance: str, name: str) -> bool:
        """Keep the cache of an instance as a file of the folder; return whether it was kept."""
        return self._slot_action(instance, 'save', name)

    def restore(self, instance: str, name: str) -> bool:
        """Fill the cache of an instance from a file; return whether that was possible."""
        return self._slot_action(instance, 'restore', name)

    def copy(self, parent: str, child: str) -> None:
        """Give `child` a copy of the cache of `parent`, where it has one."""
        if parent in self._slots and self._folder:
            name = f'fork-{os.getpid()}.tmp'
            if self.save(parent, name):
                self.restore(child, name)
                os.unlink(os.path.join(self._folder, name))

    def forget(self, instance: str) -> None:
        """Free the slot of an instance that has ended."""
        with self._lock:
            self._slots.pop(instance, None)

    def close(self) -> None:
        """Stop what runs and free the weights."""
        for worker in list(self._workers):
            worker.join(timeout=5.0)
        self._slots.clear()
        self._server = None

    def _slot(self, instance) -> int:
        with self._lock:
            if instance not in self._slots:
                free = set(range(self._count)) - set(self._slots.values())
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


def _explain(error, context_tokens):
    message = error.get('message', str(error)) if isinstance(error, dict) else str(error)
    if isinstance(error, dict) and error.get('type') == 'exceed_context_size_error':
        return (f'the prompt has {error.get("n_prompt_tokens", "too many")} tokens, the context '
                f'holds {context_tokens}; raise context_tokens or start a new session')
    return f'llama.cpp refused the request: {message}'
