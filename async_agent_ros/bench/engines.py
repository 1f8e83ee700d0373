"""
The local engines on the same weights: reading, first token, writing, several at once, and calls.

All of them are loaded, and every round asks each in turn, so that a machine that is busy for a
while is so for all. The first token is that of a question behind a head that is cached, as in
conversation. A call is written once freely and once held to the catalogue. Ratios are those of the
medians, against the first engine.
"""
import threading
import time
from typing import Any, Dict, List

from async_agent_ros.bench.common import rows
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.llm.engine import GenerationRequest
from async_agent_ros.llm.factory import make_engine

BENCH = 'engines'
ENGINES: Dict[str, Dict[str, Any]] = {
    'llama_cpp': {'name': 'llama_cpp'},
    'transformers': {'name': 'transformers'},
    'int8': {'name': 'transformers', 'quantise': 'int8'},
    'compile': {'name': 'transformers', 'compile': True},
}
INSTANCES = ('main', 'i1', 'i2', 'i3')
FACTS = 'The red box stands on the table in room {} and the blue cup beside it. '
QUESTIONS = ('Count from one to one hundred in words.', 'Write a long story about a robot.',
             'Explain in detail how an engine works.', 'List fifty animals with their colours.')
TOOLS = (ToolSpec('get_battery'), ToolSpec('navigate_to', arguments_schema={
    'type': 'object', 'required': ['place'], 'properties': {'place': {'type': 'string'}}}))
CALLS = (('Go to the office.', 'CALL {"name": "navigate_to", "arguments": {"place": "office"}}'),
         ('How full is your battery?', 'CALL {"name": "get_battery", "arguments": {}}'),
         ('Go to the hall.', 'CALL {"name": "navigate_to", "arguments": {"place": "hall"}}'))
"""Examples behind which any model calls; the answer to the first question is measured."""
MEASURED = {'prefill_tokens_per_s': ('tokens/s', 'prefill_ratio'),
            'first_token_ms': ('ms', 'first_token_ratio'),
            'decode_tokens_per_s': ('tokens/s', 'decode_ratio'),
            'decode_2_tokens_per_s': ('tokens/s', 'decode_2_ratio'),
            'decode_4_tokens_per_s': ('tokens/s', 'decode_4_ratio'),
            'free_call_ms': ('ms', 'free_call_ratio'),
            'constrained_call_ms': ('ms', 'constrained_call_ratio')}
"""Metric: its unit, and what its ratio is called."""


class EnginesError(Exception):
    """An option cannot be used. The message names it and the remedy."""


def add_arguments(parser) -> None:
    """Declare the options of `async-agent bench engines`."""
    parser.add_argument('--engines', default='llama_cpp,transformers,int8', metavar='NAMES',
                        help=f'some of {", ".join(ENGINES)}, with commas between '
                        '(default: %(default)s)')
    parser.add_argument('--model', default='qwen2.5-coder-0.5b', metavar='NAME',
                        help='the model of all of them (default: %(default)s)')
    parser.add_argument('--device', default='', help="of transformers; '': as it decides")
    parser.add_argument('--threads', type=int, default=2, metavar='COUNT')
    parser.add_argument('--tokens', type=int, default=32, metavar='COUNT',
                        help='tokens that are written (default: %(default)s)')
    parser.add_argument('--n', type=int, default=5, metavar='COUNT',
                        help='rounds (default: %(default)s)')


def run(args) -> List[rows.Row]:
    """Measure; return rows."""
    names = [name.strip() for name in args.engines.split(',') if name.strip()]
    unknown = sorted(set(names) - set(ENGINES))
    if unknown or not names:
        raise EnginesError(f'--engines {args.engines!r}: it must be some of {", ".join(ENGINES)}')
    engines = {}
    samples: Dict[str, Dict[str, List[float]]] = {
        name: {metric: [] for metric in MEASURED} for name in names}
    try:
        for name in names:
            device = args.device if ENGINES[name]['name'] == 'transformers' else ''
            engines[name] = make_engine(**ENGINES[name], model=args.model, device=device,
                                        threads=args.threads, context_tokens=8192)
            engines[name].load()
            _round(engines[name], args.tokens)    # what is compiled and allocated at first
        for _ in range(args.n):
            for name, engine in engines.items():
                for metric, value in _round(engine, args.tokens).items():
                    samples[name][metric].append(value)
    finally:
        for engine in engines.values():
            engine.close()
    return _rows(args.model, samples)


def _rows(model: str, samples: Dict[str, Dict[str, List[float]]]) -> List[rows.Row]:
    found = [rows.distribution(BENCH, metric, model, name, unit, samples[name][metric])
             for metric, (unit, _) in MEASURED.items() for name in samples]
    first, *others = samples
    for metric, (_, ratio) in MEASURED.items():
        base = rows.percentile(samples[first][metric], 50)
        found += [rows.single(BENCH, ratio, model, f'{name} over {first}', 'ratio',
                              len(samples[name][metric]),
                              rows.percentile(samples[name][metric], 50) / base)
                  for name in others]
    return found


def _round(engine, tokens: int) -> Dict[str, float]:
    """Return one value of every metric."""
    # a first word of its own: nothing of the round before is of use
    head = (f'<|im_start|>system\n{time.monotonic_ns()} '
            + ''.join(FACTS.format(i) for i in range(24)) + '<|im_end|>\n')
    for instance in INSTANCES:
        engine.forget(instance)
    reading = _Writer(engine, INSTANCES[0], head + _asked('What is in room three?'), 1)
    reading.run()
    found = {'prefill_tokens_per_s': reading.request.stats.prompt_tokens / reading.first_s}
    turn = _Writer(engine, INSTANCES[0], head + _asked(QUESTIONS[0]), tokens)
    turn.run()
    found['first_token_ms'] = turn.first_s * 1e3
    found['decode_tokens_per_s'] = turn.tokens_per_s
    for instance in INSTANCES[1:]:
        engine.fork(INSTANCES[0], instance)
    for count in (2, 4):
        writers = [_Writer(engine, instance, head + _asked(question), tokens)
                   for instance, question in zip(INSTANCES[:count], QUESTIONS)]
        # the questions are read before: they are not what is measured
        for writer in writers:
            _Writer(engine, writer.request.instance, writer.request.prompt, 1).run()
        began_s = time.perf_counter()
        threads = [threading.Thread(target=w.run, daemon=True) for w in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found[f'decode_{count}_tokens_per_s'] = sum(
            w.request.stats.output_tokens for w in writers) / (time.perf_counter() - began_s)
    return {**found, **_calls(engine, head)}


def _calls(engine, head: str) -> Dict[str, float]:
    """Return how long the same call takes freely and held to the catalogue."""
    prompt = head + ''.join(f'{_asked(said)}{done}<|im_end|>\n' for said, done in CALLS)
    prompt += _asked(CALLS[0][0])
    _Writer(engine, INSTANCES[0], prompt, 1).run()
    found = {}
    for metric, tools in (('free_call_ms', ()), ('constrained_call_ms', TOOLS)):
        writer = _Writer(engine, INSTANCES[0], prompt, 60, tools, CALLS[0][1])
        writer.run()
        found[metric] = writer.last_s * 1e3
    return found


def _asked(question: str) -> str:
    return f'<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n'


class _Writer:
    """One generation, with the times of its pieces; `until` ends it, '': nothing does."""

    def __init__(self, engine, instance: str, prompt: str, tokens: int, tools=(),
                 until: str = ''):
        self.engine = engine
        self.request = GenerationRequest(instance, prompt, tokens, tools=tools)
        self.until = until
        self.text = ''
        self.first_s = self.last_s = 0.0

    def run(self) -> None:
        """Write to the end."""
        began_s = time.perf_counter()
        abort = threading.Event()
        for piece in self.engine.stream(self.request, abort):
            self.last_s = time.perf_counter() - began_s
            self.first_s = self.first_s or self.last_s
            self.text += piece
            if self.until and self.until in self.text:
                abort.set()
                break
        self.first_s = self.first_s or time.perf_counter() - began_s

    @property
    def tokens_per_s(self) -> float:
        """Return the speed behind the first token; 0.0 where there was no second one."""
        count = self.request.stats.output_tokens - 1
        writing_s = self.last_s - self.first_s
        return count / writing_s if count > 0 and writing_s > 0.0 else 0.0
