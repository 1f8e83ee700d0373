"""
Many calls at once, a long ledger, helpers: what asynchronous tools cost, and whom they delay.

`parallel` runs N calls of one length through the real nodes; a script takes the place of the
language model. `ledger` steps one conversation through the kernel and its journal until the ledger
holds 100,000 entries. `prefill` reads the prompts of a fork and of a spawn with a real model: a
fork shares its parent's KV cache, a spawn pays for its brief. `person` takes the time of the
person's turn while as many helpers as are allowed work all the time.
"""
import json
from pathlib import Path
import tempfile
import threading
import time
from typing import Any, Dict, List

from async_agent_ros import bringup
from async_agent_ros.bench.common import rows

BENCH = 'tools'
PARTS = ('parallel', 'ledger', 'prefill', 'person')
NAMESPACE = '/agent'
SMALL, LARGE = 1_000, 100_000
HELPERS = 4
PREFILLS = 3
WORK_S = 0.5
"""Length of a helper's call in the part `person`."""


class ToolsError(Exception):
    """An option cannot be used. The message names it and the remedy."""


def add_arguments(parser) -> None:
    """Declare the options of `async-agent bench tools`."""
    parser.add_argument('--only', default=','.join(PARTS), metavar='PARTS',
                        help='what to measure, with commas between (default: %(default)s)')
    parser.add_argument('--calls', default='1,10,100,1000', metavar='COUNTS',
                        help='calls in flight (default: %(default)s)')
    parser.add_argument('--call-s', type=float, default=20.0, metavar='SECONDS',
                        help='length of each call (default: %(default)s)')
    parser.add_argument('--n', type=int, default=30, metavar='COUNT',
                        help='turns of the person in each mode (default: %(default)s)')
    parser.add_argument('--model', default='smollm2-135m', metavar='NAME',
                        help='model of the engine transformers for the prefills '
                        '(default: %(default)s)')
    parser.add_argument('--device', default='auto', help='where it runs (default: %(default)s)')


def models(args) -> Dict[str, str]:
    """Return the models that take part."""
    return {'language': f'{args.model} (prefill only), else none (script)'}


def run(args) -> List[rows.Row]:
    """Measure the chosen parts; return rows."""
    only = [part.strip() for part in args.only.split(',') if part.strip()]
    unknown = sorted(set(only) - set(PARTS))
    if unknown or not only:
        raise ToolsError(f'--only {args.only!r}: it must be some of {", ".join(PARTS)}')
    found: List[rows.Row] = []
    for part in only:
        found += {'parallel': _parallel, 'ledger': _ledger, 'prefill': _prefill,
                  'person': _person}[part](args)
    return found


class _Scene:
    """An agent without a voice, a tool server `workers`, and a probe in its graph."""

    def __init__(self, script: Dict[str, Any], parameters: Dict[str, Dict[str, Any]]):
        from async_agent_ros.bench.common.agent import MeasuredAgent
        self._folder = tempfile.TemporaryDirectory(prefix='async_agent_bench_')
        path = Path(self._folder.name) / 'script.json'    # JSON is YAML
        path.write_text(json.dumps({'fallback': 'Hm.', **script}), encoding='utf-8')
        more = {**parameters,
                'dispatcher': {'script': str(path), **parameters.get('dispatcher', {})}}
        self.agent = MeasuredAgent(bringup.Settings(
            namespace=NAMESPACE, nodes='text', engine='scripted', sim_robot=False), more)

    def __enter__(self) -> '_Scene':
        import subprocess
        import sys
        from async_agent_ros.bench.common.probe import Probe
        self.probe = Probe(NAMESPACE, voice=True)
        self._workers = subprocess.Popen(
            [sys.executable, '-m', 'async_agent_ros.bench.common.workers'],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.agent.__enter__()
        try:
            self.agent.wait_ready(self.probe.spin, lambda: self.probe.missing('work'))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info) -> None:
        self.agent.__exit__()
        self._workers.terminate()
        self._workers.wait(10.0)
        self.probe.close()
        self._folder.cleanup()


# -- N calls at once ------------------------------------------------------------------------------
def _parallel(args) -> List[rows.Row]:
    try:
        counts = [int(c) for c in args.calls.split(',')]
    except ValueError:
        raise ToolsError(f'--calls {args.calls!r}: it must be numbers with commas between'
                         ) from None
    rules = [{'user': f'^work {count}$', 'say': '\n'.join(
        'CALL ' + json.dumps({'name': 'work',
                              'arguments': {'seconds': args.call_s}})
        for _ in range(count))} for count in sorted({1, *counts})]
    rules.append({'notification': '.', 'say': ''})
    lengths: Dict[int, float] = {}
    with _Scene({'rules': rules}, {'dispatcher': {'max_tokens': 32768}}) as scene:
        scene.probe.leave_ledger()
        for count in sorted({1, *counts}):
            lengths[count] = _length_s(scene.probe, count, args.call_s)
    return [rows.single(BENCH, 'parallel_time_ratio', f'n={count}', f'{args.call_s:g} s calls',
                        'ratio', count, lengths[count] / lengths[1], seconds=lengths[count])
            for count in counts]


def _length_s(probe, count: int, call_s: float) -> float:
    """Return the seconds from the request to the end of the last call."""
    probe.forget()
    began_s = time.monotonic()
    probe.say(f'work {count}')

    def all_ended():
        return sum(e.event == 'ended' for e in probe.call_events) >= count

    probe.until(f'the end of {count} calls', all_ended, call_s * 5 + 120.0)
    seconds = time.monotonic() - began_s
    failed = [e for e in probe.call_events if e.event == 'ended' and e.status != 'succeeded']
    if failed:
        raise ToolsError(f'{len(failed)} of {count} calls ended as {failed[0].status}: '
                         f'{failed[0].error_msg}')
    probe.until('the end of the turn', lambda: probe.idle, 60.0)
    return seconds


# -- the length of the ledger ---------------------------------------------------------------------
def _ledger(args) -> List[rows.Row]:
    from async_agent_ros.core import effects, events
    from async_agent_ros.core.kernel import Kernel
    from async_agent_ros.core.tools import ToolSpec
    from async_agent_ros.core.words import Effect
    from async_agent_ros.nodes.convert import entry_to_msg
    from async_agent_ros.nodes.journal import Journal
    kernel, costs = Kernel(), {SMALL: [], LARGE: []}
    clock_ns, index = 10**18, 0
    with tempfile.TemporaryDirectory(prefix='async_agent_bench_') as folder:
        journal = Journal(Path(folder) / 'bench.journal.jsonl', 'bench')

        def step(kind, **fields):
            """Do what the manager does with an event, but for the middleware."""
            nonlocal clock_ns, index
            clock_ns += 10_000_000
            length = kernel.state.ledger.next_seq
            began_s = time.perf_counter()
            out = kernel.step(kind(clock_ns, **fields))
            entries = [e.entry for e in out if isinstance(e, effects.Append)]
            journal.write(index, kernel_event(kind, fields), entries)
            for entry in entries:
                entry_to_msg(entry, 'bench')
            passed_us = (time.perf_counter() - began_s) * 1e6
            index += 1
            for size in costs:
                if size <= length < size + size // 10:
                    costs[size].append(passed_us)

        def kernel_event(kind, fields):
            return kind(clock_ns, **fields)

        def generation(kind, **fields):
            state = kernel.state
            step(kind, generation_id=state.active or 0, epoch=state.epoch, **fields)

        step(events.Started, session='bench')
        spec = ToolSpec('look', 'Look', effect=Effect.READ_ONLY, action_name='/look')
        step(events.ToolsAnnounced, server='/s', tools=(spec.to_json(),))
        while kernel.state.ledger.next_seq < LARGE + LARGE // 10:
            step(events.UserText, text='What do you see in the kitchen?')
            generation(events.FirstToken)
            generation(events.CallGenerated, name='look', arguments={})
            generation(events.GenerationEnded)
            call_id = next(iter(kernel.state.calls))
            step(events.CallAccepted, call_id=call_id)
            step(events.CallProgressed, call_id=call_id, progress=0.5, text='half way')
            step(events.CallEnded, call_id=call_id, result={'cup': 'table'})
            step(events.TimerFired, timer_id='group')
            generation(events.FirstToken)
            generation(events.TextGenerated, text='There is a cup on the table. ')
            generation(events.GenerationEnded)
        journal.close()
    found = [rows.distribution(BENCH, 'event_cost_us', f'{size} entries', 'kernel and journal',
                               'us', values) for size, values in costs.items()]
    ratio = (rows.percentile(costs[LARGE], 50) / rows.percentile(costs[SMALL], 50))
    return found + [rows.single(BENCH, 'event_cost_ratio', f'{LARGE} over {SMALL} entries',
                                'median', 'ratio', len(costs[LARGE]), ratio)]


# -- what a fork and a spawn read -----------------------------------------------------------------
def _prefill(args) -> List[rows.Row]:
    from async_agent_ros.llm.transformers_engine import TransformersEngine
    engine = TransformersEngine(args.model, device=args.device, constrain=False)
    engine.load()
    parent, fork, spawn = _prompts()
    found = []
    try:
        engine.warm('main', parent)
        times: Dict[str, List[float]] = {'fork': [], 'again': [], 'spawn': []}
        tokens: Dict[str, int] = {}
        for number in range(PREFILLS):
            for name, prompt in (('fork', fork), ('again', fork), ('spawn', spawn)):
                began_s = time.perf_counter()
                child = f'{name}{number}'
                if name == 'fork':
                    engine.fork('main', child)
                tokens[name] = _first_token(engine, child, prompt)
                times[name].append((time.perf_counter() - began_s) * 1e3)
                engine.forget(child)
        for metric, name, mode in (('fork_prefill_ms', 'fork', 'cache shared'),
                                   ('fork_prefill_ms', 'again', 'read again'),
                                   ('spawn_prefill_ms', 'spawn', 'brief only')):
            found.append(rows.distribution(BENCH, metric, f'{tokens[name]} tokens', mode, 'ms',
                                           times[name], device=engine.info().device))
    finally:
        engine.close()
    return found


def _prompts():
    """Return the prompts of a conversation, of a fork of it, and of a spawn, as rendered."""
    from async_agent_ros.bench.common.talk import conversation
    from async_agent_ros.core.chatml import Renderer
    from async_agent_ros.core.lineage import prefixes
    entries = conversation()
    main = Renderer()
    main.feed(e for e in entries if e.instance == 'main')
    texts = [main.text]
    for instance in ('i1', 'i2'):
        renderer = Renderer(instance=instance, prefixes=prefixes(entries, instance))
        renderer.feed(entries)
        texts.append(renderer.prompt())
    return texts


def _first_token(engine, instance: str, prompt: str) -> int:
    from async_agent_ros.llm.engine import GenerationRequest
    request = GenerationRequest(instance, prompt, max_tokens=1)
    for _ in engine.stream(request, threading.Event()):
        break
    return request.stats.prompt_tokens


# -- the person among helpers ---------------------------------------------------------------------
def _person(args) -> List[rows.Row]:
    call = 'CALL ' + json.dumps({'name': 'work', 'arguments': {'seconds': WORK_S}})
    forks = '\n'.join('CALL ' + json.dumps({'name': 'fork', 'arguments': {'task': f'task {i}'}})
                      for i in range(HELPERS))
    rules = [{'user': '^load$', 'say': forks},
             {'user': '^hello', 'say': 'Hello there, how are you?'},
             {'user': 'now a helper', 'say': call},
             {'notification': 'succeeded', 'prompt': 'now a helper', 'say': call},
             {'notification': '.', 'say': ''}]
    found: List[rows.Row] = []
    with _Scene({'rules': rules}, {'dialog_manager': {
            'kernel.max_chain': 100, 'kernel.max_instances': HELPERS}}) as scene:
        probe = scene.probe
        probe.leave_ledger()
        for mode in ('idle', 'loaded'):
            samples = []
            for number in range(args.n + 3):
                if mode == 'loaded' and len(probe.state.instances) < HELPERS + 1:
                    probe.say('load')
                    probe.until('the helpers', lambda: len(
                        probe.state.instances) == HELPERS + 1 and probe.idle, 30.0)
                probe.spin(0.05)
                probe.forget()
                began_ns = probe.say(f'hello {number}')
                probe.until('an answer', lambda: probe.says_ns and probe.idle, 30.0)
                samples.append((probe.says_ns[0] - began_ns) / 1e6)
            found.append(rows.distribution(
                BENCH, 'person_turn_ms', f'{HELPERS} helpers' if mode == 'loaded' else 'alone',
                mode, 'ms', samples[3:]))
    return found
