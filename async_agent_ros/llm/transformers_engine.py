"""
PyTorch in this process, through transformers: any causal model, CPU or GPU.

The KV cache of every instance is kept between generations. A new prompt keeps the longest common
prefix and prefills the rest in chunks; a hook before every layer makes a running pass stoppable,
because a pass over a long chunk takes seconds on a CPU.
"""
import importlib
import os
import pathlib
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional

from async_agent_ros.core.chatml_format import PAUSE_MARK
from async_agent_ros.llm import grammar, joint
from async_agent_ros.llm.engine import (
    EngineError, EngineInfo, GenerationRequest, PAUSE_PENALTY)
from async_agent_ros.llm.guess import Guess
from async_agent_ros.llm.kv_cache import common_prefix, InstanceCache
from async_agent_ros.llm.turns import FIRST, Turns
from async_agent_ros.llm.weights import weights_folder

QUANTISE = ('', 'int8')
_INT8_PARTS = ('gate_proj', 'up_proj')


class _Stopped(Exception):
    """The abort event was seen inside a forward pass."""


class TransformersEngine:
    """
    Engine on PyTorch weights.

    :param model: name of a packaged model, folder of safetensors, or GGUF file (converted once).
    :param device: 'cpu', 'cuda', 'cuda:1', or 'auto'.
    :param dtype: 'float32', 'bfloat16', 'float16', or 'auto' (float32 on a CPU: bfloat16 is
        slower there without units for it).
    :param quantise: 'int8' makes gate and up projections and the head dynamic int8 on a CPU:
        almost twice as fast, calls stay right. All layers would cost accuracy.
    :param threads: CPU threads of torch, for the whole process; 0 leaves them alone.
    :param prefill_chunk: tokens of one forward pass of a prefill.
    :param instances_per_pass: instances whose next tokens are read in one pass; 1: one by one.
    :param compile: compile the feed-forward parts (torch.compile); the first tokens take long, and
        a CPU needs a C++ compiler.
    :param temperature: 0.0 always takes the likeliest token.
    :param adapter: folder of a LoRA adapter (peft) that was trained for the model; it is merged
        into the weights at load, so it costs nothing later.
    :param pause_penalty: taken from the logit of `<pause>` in a reaction to words that go on.
    :param constrain: let only calls of the catalogue's tools be written (llguidance).
    :param call_ids: constrained calls may have ids, and take parts of the results of others.
    """

    def __init__(self, model: str = 'qwen2.5-coder-0.5b', device: str = 'auto',
                 dtype: str = 'auto', quantise: str = '', threads: int = 2,
                 context_tokens: int = 8192, prefill_chunk: int = 256,
                 instances_per_pass: int = 4, compile: bool = False,
                 temperature: float = 0.0, seed: int = 0, constrain: bool = True, adapter: str = '',
                 call_marker: str = grammar.CALL_MARKER, call_ids: bool = False,
                 pause_penalty: float = PAUSE_PENALTY):
        if quantise not in QUANTISE:
            raise EngineError(
                f'quantise is {quantise!r}; known are {", ".join(map(repr, QUANTISE))}')
        self._name = model
        self._device = device
        self._dtype = dtype
        self._quantise = quantise
        self._threads = threads
        self._context_tokens = context_tokens
        self._prefill_chunk = prefill_chunk
        self._compile = compile
        self._temperature = temperature
        self._seed = seed
        self._constrain = constrain
        self._adapter = adapter
        self._call_ids = call_ids
        self._pause_penalty = pause_penalty
        self._marker = call_marker
        self._model: Any = None
        self._tokenizer: Any = None
        self._masks: Any = None
        self._caches: Dict[str, InstanceCache] = {}
        self._stop_pass: Callable[[], bool] = lambda: False
        self._turns = Turns()
        self._joint = joint.JointPasses(self._turns, self._read_rows, max(1, instances_per_pass))
        self._lock = threading.Lock()    # of the caches' table

    def load(self) -> None:
        """Load the weights; raises ModelMissingError or EngineError with the remedy."""
        if self._model is not None:
            return
        # see llama_cpp.py: threads that spin starve each other on shared cores
        os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
        try:
            self._torch = importlib.import_module('torch')
            transformers = importlib.import_module('transformers')
        except ImportError as error:
            raise EngineError(f'the engine transformers needs torch and transformers ({error}); '
                              f'get them with: pip install torch transformers') from error
        torch = self._torch
        if self._device == 'auto':
            self._device = 'cuda' if torch.cuda.is_available() else 'cpu'
        if self._dtype == 'auto':
            self._dtype = 'float32' if self._device == 'cpu' else 'bfloat16'
        if self._threads > 0:
            torch.set_num_threads(self._threads)
        transformers.logging.set_verbosity_error()
        joint.register(torch, transformers)
        folder = weights_folder(self._name)
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True)
            self._model = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=getattr(torch, self._dtype), local_files_only=True,
                attn_implementation=joint.ATTENTION)
            self._merge_adapter()
            self._model = self._model.to(self._device).eval()
        except (OSError, ValueError, RuntimeError, AssertionError) as error:
            self._model = None
            raise EngineError(f'transformers cannot load {folder} on {self._device}: {error}'
                              ) from error
        if self._quantise == 'int8':
            self._to_int8()
        for layer in self._model.get_decoder().layers:
            if self._compile:
                layer.mlp.compile(dynamic=True)
            layer.register_forward_pre_hook(self._hook)

    def _merge_adapter(self):
        if not self._adapter:
            return
        try:
            peft = importlib.import_module('peft')
        except ImportError as error:
            raise EngineError(f'an adapter needs the package peft ({error}); get it with: '
                              f"pip install 'async_agent_ros[training]'") from error
        path = pathlib.Path(self._adapter).expanduser()
        if not (path / 'adapter_config.json').is_file():
            raise EngineError(f'adapter: {path} is no folder of an adapter (peft); a .gguf adapter '
                              'is for the engine llama_cpp')
        self._model = peft.PeftModel.from_pretrained(self._model, path).merge_and_unload()

    def _to_int8(self):
        if self._device != 'cpu':
            raise EngineError("quantise 'int8' works on a CPU only; leave it '' on a GPU")
        quantization = importlib.import_module('torch.ao.quantization')
        dynamic = quantization.default_dynamic_qconfig
        linear = self._torch.nn.Linear
        chosen = {name: dynamic for name, module in self._model.named_modules()
                  if isinstance(module, linear)
                  and (name.endswith(_INT8_PARTS) or name == 'lm_head')}
        self._model = quantization.quantize_dynamic(
            self._model, chosen, dtype=self._torch.qint8, inplace=True)

    def _hook(self, module, arguments):
        if self._stop_pass():
            raise _Stopped

    def info(self) -> EngineInfo:
        """Describe what is loaded."""
        return EngineInfo(
            'transformers', self._name, self._device, self._context_tokens,
            {'dtype': self._dtype, 'quantise': self._quantise, 'threads': self._threads,
             'prefill_chunk': self._prefill_chunk, 'compile': self._compile,
             'constrain': self._constrain,
             'temperature': self._temperature, 'adapter': self._adapter})

    def stream(self, request: GenerationRequest, abort: threading.Event) -> Iterator[str]:
        """Yield text as it is decoded; see Engine.stream."""
        if self._model is None:
            raise EngineError('the engine transformers is not loaded; call load() first')
        with self._turns.session(request.instance == FIRST):
            yield from self._stream(request, abort)
        if abort.is_set():
            request.stats.finish_reason = 'abort'

    def _stream(self, request, abort):
        ids = self._tokenizer(request.prompt, add_special_tokens=False)['input_ids']
        stats = request.stats
        stats.prompt_tokens = len(ids)
        if len(ids) + request.max_tokens > self._context_tokens:
            raise EngineError(
                f'the prompt has {len(ids)} tokens, the context holds {self._context_tokens} with '
                f'{request.max_tokens} of output; raise context_tokens or start a new session')
        with self._lock:
            cache = self._caches.setdefault(request.instance, InstanceCache(self._new_cache))
        first = request.instance == FIRST
        # the last token is always read again: its logits are not kept
        stats.cached_tokens = min(common_prefix(cache.tokens, ids), len(ids) - 1)
        cache.keep(stats.cached_tokens)
        logits = self._read(cache, ids[stats.cached_tokens:], abort, first)
        if logits is None:
            return
        try:
            yield from self._decode(request, cache, logits, abort, first)
        finally:
            self._joint.ended(cache)

    def _decode(self, request, cache, logits, abort, first):
        stats = request.stats
        matcher = self._matcher(request)
        chooser = self._chooser()
        ends = self._end_tokens()
        guess = self._guess(request)
        released, tokens = '', []
        if request.reacts and self._pause_penalty:
            pause, *_ = self._tokenizer(PAUSE_MARK, add_special_tokens=False)['input_ids']
            logits = logits.clone()
            logits[pause] -= self._pause_penalty
        while True:
            if matcher is not None:
                logits = matcher.allow(logits)
            token = chooser(logits)
            if token in ends:
                stats.finish_reason = 'stop'
                break
            tokens.append(token)
            stats.output_tokens += 1
            text = self._tokenizer.decode(tokens, skip_special_tokens=False)
            stop = next((text.find(s) for s in request.stop if s in text), -1)
            if stop >= 0:
                yield text[len(released):stop]
                stats.finish_reason = 'stop'
                return
            ready = _without_partial(text, request.stop)
            if len(ready) > len(released) and ready.startswith(released):
                yield ready[len(released):]
                released = ready
            if stats.output_tokens >= request.max_tokens:
                stats.finish_reason = 'length'
                break
            if matcher is not None and not matcher.accept(token):
                stats.finish_reason = 'stop'
                break
            logits = guess.take(token)
            if logits is None:
                ahead = guess.ahead(token)
                wrong = guess.forget()
                if wrong:
                    cache.keep(len(cache.tokens) - wrong)
                if not ahead:
                    logits = self._joint.read(joint.Row(cache, token), first, abort)
                else:
                    seen = self._read(cache, [token, *ahead], abort, first, all_logits=True)
                    logits = None if seen is None else guess.put(ahead, seen)
                if logits is None:
                    return
        rest = self._tokenizer.decode(tokens, skip_special_tokens=False)[len(released):]
        if rest and not abort.is_set():
            yield rest.rstrip('\ufffd')

    def _guess(self, request) -> Guess:
        text = request.guess
        ids = self._tokenizer(text, add_special_tokens=False)['input_ids'] if text else []
        return Guess(ids, self._prefill_chunk - 1)

    def _read(self, cache, ids: List[int], abort, first: bool, all_logits: bool = False):
        """
        Put tokens through the model; return the logits of the last, None when stopped.

        With `all_logits` those of every token, shape (tokens, vocabulary): at most one chunk.
        """
        logits = None
        start = 0
        while start < len(ids):
            chunk = ids[start:start + self._prefill_chunk]
            with self._turns.turn(first, abort) as mine:
                if not mine:
                    return None
                # A helper's pass is stopped for the person's, and done again afterwards.
                self._stop_pass = lambda: abort.is_set() or (
                    not first and self._turns.first_is_here)
                logits = self._pass(cache, chunk, len(chunk) if all_logits else 1)
            if logits is not None:
                start += len(chunk)
            elif abort.is_set():
                return None
        return logits if all_logits or logits is None else logits[-1]

    def _pass(self, cache, chunk, keep):
        torch = self._torch
        try:
            with torch.inference_mode():
                out = self._model(
                    torch.tensor([chunk], device=self._device), use_cache=True,
                    past_key_values=cache.layers, logits_to_keep=keep)
        except _Stopped:
            cache.repair()
            return None
        except RuntimeError as error:
            cache.keep(0)
            raise EngineError(f'transformers failed on {self._device}: {error}') from error
        cache.tokens.extend(chunk)
        return out.logits[0]

    def _read_rows(self, rows):
        self._stop_pass = lambda: False    # a token is over sooner than it would be read again
        try:
            return joint.read(self._torch, self._model, self._device, rows)
        except RuntimeError as error:
            for row in rows:
                row.cache.repair()
            raise EngineError(f'transformers failed on {self._device}: {error}') from error

    def _new_cache(self):
        return importlib.import_module('transformers').DynamicCache(config=self._model.config)

    def _chooser(self):
        torch = self._torch
        if self._temperature <= 0.0:
            return lambda logits: int(logits.argmax())
        generator = torch.Generator(device=self._device).manual_seed(self._seed)

        def sample(logits):
            chances = torch.softmax(logits.float() / self._temperature, -1)
            return int(torch.multinomial(chances, 1, generator=generator))
        return sample

    def _end_tokens(self):
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        return ends | {self._tokenizer.eos_token_id,
                       self._tokenizer.convert_tokens_to_ids('<|im_end|>')}

    def _matcher(self, request):
        if not (self._constrain and request.tools):
            return None
        if self._masks is None:
            from async_agent_ros.llm.masks import Masks
            self._masks = Masks(self._tokenizer, self._model.config.vocab_size,
                                self._tokenizer.convert_tokens_to_ids('<|im_end|>'))
        return self._masks.matcher(grammar.lark(request.tools, self._marker, self._call_ids))

    def warm(self, instance: str, prompt: str, abort: Optional[threading.Event] = None,
             keep: bool = False) -> float:
        """
        Fill the cache of an instance with a prompt's beginning; return the seconds it took.

        `keep` is for engines that can keep it on disk.
        """
        started = time.monotonic()
        for _ in self.stream(GenerationRequest(instance, prompt, 1),
                             abort or threading.Event()):
            pass
        return time.monotonic() - started

    def fork(self, parent: str, child: str) -> None:
        """Give `child` a copy of the cache of `parent`, where it has one."""
        with self._turns.turn(child == FIRST, threading.Event()), self._lock:
            if parent in self._caches:
                self._caches[child] = self._caches[parent].copy()

    def forget(self, instance: str) -> None:
        """Drop the cache of an instance that has ended."""
        with self._lock:
            self._caches.pop(instance, None)

    def close(self) -> None:
        """Free the weights."""
        with self._lock:
            self._model = self._tokenizer = self._masks = None
            self._caches.clear()


def _without_partial(text: str, stops) -> str:
    """Return the text without an end that may become a stop string or a whole character."""
    text = text.rstrip('\ufffd')
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), 0, -1):
            if text.endswith(stop[:length]):
                return text[:-length]
    return text
