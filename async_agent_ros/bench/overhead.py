"""
What the agent adds apart from the models: latencies between its parts, CPU and memory when idle.

Real processes over DDS; a script of a few lines takes the place of the language model. The
latencies of text and calls are taken without a voice, so that synthesis does not use the cores
meanwhile; those of interruptions with the real one. The part `bare` is the floor below them: one
hop of a message and one acceptance of a goal between two processes of rclpy and nothing else.
"""
import math
from pathlib import Path
import random
import time
from typing import Any, Callable, Dict, List, Optional, Tuple
import wave

from async_agent_ros import bringup, models as packaged
from async_agent_ros.bench.common import rows
from async_agent_ros.bench.common.agent import MeasuredAgent
from async_agent_ros.bench.common.processes import Quiet, session_cpu_s, session_memory_mb

BENCH = 'overhead'
PARTS = ('bare', 'text', 'call', 'interrupt', 'idle')
NAMESPACE = '/agent'
TOOL = 'get_battery'
VOICE, RECOGNISER = 'piper-joe', 'whisper-tiny.en'
WARM_UP = 5
"""Turns before the first that counts: discovery, caches, compiled regular expressions."""

SETTLE_S = 10.0
"""Before the idle agent is watched: the voice and the recogniser warm up after they are loaded."""

TOKENS_PER_S = 50.0
"""Pace of a call's output, that of a fast model: no model ends in the instant of its call."""

SCRIPT = f"""\
fallback: I only follow the script of a benchmark.
rules:
- user: '^text'
  say: Yes, I can hear you.
- user: '^call'
  say: 'CALL {{"name": "{TOOL}", "arguments": {{}}}}'
- user: '^speech'
  say: >-
    This is one long sentence without any full stop which goes on and on for a good while so that
    somebody who has something better to say has all the time in the world to interrupt it.
- notification: '.'
  say: ''
"""

Sample = Tuple[float, bool]
"""Milliseconds, and whether the machine was quiet."""


def add_arguments(parser) -> None:
    """Declare the options of `async-agent bench overhead`."""
    parser.add_argument('--n', type=int, default=100, metavar='COUNT',
                        help='samples of each latency (default: %(default)s)')
    parser.add_argument('--idle-s', type=float, default=30.0, metavar='SECONDS',
                        help='how long the idle agent is watched, 20 or more for a figure that '
                        'counts (default: %(default)s)')
    parser.add_argument('--only', default=','.join(PARTS), metavar='PARTS',
                        help='what to measure, with commas between (default: %(default)s)')
    parser.add_argument('--others-percent', type=float, default=15.0, metavar='PERCENT',
                        help='a sample is quiet when other programs used less of a core while it '
                        'was taken (default: %(default)s)')


class OverheadError(Exception):
    """An option cannot be used. The message names it and the remedy."""


def models(args) -> Dict[str, str]:
    """Return the models that take part."""
    return {'language': 'none (script)', 'voice': VOICE, 'recogniser': RECOGNISER}


def run(args) -> List[rows.Row]:
    """Measure the chosen parts; return rows."""
    only = [part.strip() for part in args.only.split(',') if part.strip()]
    unknown = sorted(set(only) - set(PARTS))
    if unknown or not only:
        raise OverheadError(f'--only {args.only!r}: it must be some of {", ".join(PARTS)}')
    if args.n < 1 or args.idle_s <= 0.0:
        raise OverheadError('--n and --idle-s must be above zero')
    found: List[rows.Row] = []
    if 'bare' in only:
        from async_agent_ros.bench.common import bare
        for metric, values in bare.measure(args.n).items():
            found.append(rows.distribution(BENCH, metric, 'bare rclpy', 'all', 'ms', values))
    if {'text', 'call'} & set(only):
        found += _typed(args, only)
    if {'interrupt', 'idle'} & set(only):
        for name in (VOICE, RECOGNISER):
            packaged.find(name)    # said now, by name and remedy, and not by a node's log
        found += _spoken(args, only)
    return found


# -- bring-up -------------------------------------------------------------------------------------
def _with_script(folder: Path, tokens_per_s: float = 0.0) -> Dict[str, Dict[str, Any]]:
    script = folder / 'script.yaml'
    script.write_text(f'tokens_per_s: {tokens_per_s}\n{SCRIPT}', encoding='utf-8')
    return {'dispatcher': {'script': str(script)}}


class _Scene:
    """An agent and the probe in its graph."""

    def __init__(self, nodes: str, parameters: Callable[[Path], Dict], *, voice: bool, args):
        from tempfile import TemporaryDirectory
        self._folder = TemporaryDirectory(prefix='async_agent_bench_')
        self.agent = MeasuredAgent(
            bringup.Settings(namespace=NAMESPACE, nodes=nodes, engine='scripted'),
            parameters(Path(self._folder.name)))
        self._voice, self._args = voice, args

    def __enter__(self) -> '_Scene':
        from async_agent_ros.bench.common.probe import Probe
        self.probe = Probe(NAMESPACE, voice=self._voice)
        self.agent.__enter__()
        try:
            self.agent.wait_ready(self.probe.spin, lambda: self.probe.missing(TOOL))
            self.probe.leave_ledger()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info) -> None:
        self.agent.__exit__()
        self.probe.close()
        self._folder.cleanup()

    def samples(self, what: str, one: Callable[[int], Optional[Dict[str, float]]]
                ) -> Dict[str, List[Sample]]:
        """Call one(i) until it has measured often enough; return the samples of each metric."""
        found: Dict[str, List[Sample]] = {}
        count = tried = 0
        quiet = Quiet(self.agent.pids.values(), self._args.others_percent)
        while count < self._args.n:
            self.agent.check()
            tried += 1
            if tried > 3 * self._args.n + 20:
                raise OverheadError(f'{what}: only {count} of {tried} attempts could be measured')
            # Not in step with any timer of the nodes.
            self.probe.spin(random.uniform(0.03, 0.1))
            self.probe.forget()
            quiet.begin()
            values = one(tried)
            was_quiet = quiet.was_quiet()
            if values is None or tried <= WARM_UP:
                continue
            count += 1
            for metric, value in values.items():
                found.setdefault(metric, []).append((value, was_quiet))
        return found


# -- text and calls -------------------------------------------------------------------------------
def _typed(args, only) -> List[rows.Row]:
    found: List[rows.Row] = []
    for part, workload, turn, tokens_per_s in (('text', 'short answer', _text_turn, 0.0),
                                               ('call', TOOL, _call_turn, TOKENS_PER_S)):
        if part not in only:
            continue
        with _Scene('text', lambda folder: _with_script(folder, tokens_per_s), voice=True,
                    args=args) as scene:
            for metric, samples in scene.samples(
                    part, lambda number: turn(scene.probe, number)).items():
                found += _latency(metric, workload, samples)
    return found


def _text_turn(probe, number: int) -> Dict[str, float]:
    asked_ns = probe.say(f'text {number}')
    probe.until('an answer', lambda: probe.says_ns and probe.idle and probe.goals_ns
                and probe.fed_back('first_token'))
    return {'text_to_generate_ms': (max(probe.goals_ns) - asked_ns) / 1e6,
            'token_to_tts_ms': (probe.says_ns[0] - probe.fed_back('first_token')[0]) / 1e6}


def _call_turn(probe, number: int) -> Dict[str, float]:
    from async_agent_ros.nodes.node_base import to_ns
    probe.say(f'call {number}')
    probe.until('a call that ends', lambda: {'accepted', 'ended'}
                <= {e.event for e in probe.call_events} and probe.fed_back('call'))
    accepted = next(e for e in probe.call_events if e.event == 'accepted')
    # The generation that would tell the result, and has nothing to say.
    probe.until('the end of the turn', lambda: len(probe.goals_ns) > 1 and probe.idle)
    return {'call_to_accepted_ms': (to_ns(accepted.stamp) - probe.fed_back('call')[0]) / 1e6}


def _latency(metric: str, workload: str, samples: List[Sample]) -> List[rows.Row]:
    """Return a row of all samples, and one of the quiet ones where there are enough."""
    quiet = [value for value, was_quiet in samples if was_quiet]
    rejected = round(100.0 * (1.0 - len(quiet) / len(samples)), 1)
    found = [rows.distribution(BENCH, metric, workload, 'all', 'ms', [v for v, _ in samples])]
    if len(quiet) >= rows.LEAST_EVENTS:
        found.append(rows.distribution(BENCH, metric, workload, 'quiet', 'ms', quiet,
                                       rejected_percent=rejected))
    found.append(rows.single(BENCH, 'rejected_percent', metric, 'quiet', '%',
                             len(samples), rejected))
    return found


# -- interruptions and idleness -------------------------------------------------------------------
def _with_audio(folder: Path, seconds: float) -> Dict[str, Dict[str, Any]]:
    room = folder / 'room.wav'
    _write_noise(room, seconds)
    return {**_with_script(folder),
            'tts': {'sinks': ['topic'], 'voice': VOICE, 'first_clause_chars': 40},
            'asr': {'source': 'wav', 'wav_file': str(room), 'wav_at_start': False,
                    'model': RECOGNISER}}


def _write_noise(path: Path, seconds: float) -> None:
    """Write a quiet room: faint noise, so that the recogniser's ear has something to judge."""
    import numpy as np
    noise = np.random.default_rng(1).normal(0.0, 20.0, int(seconds * 16000))
    with wave.open(str(path), 'wb') as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(noise.astype('<i2').tobytes())


def _spoken(args, only) -> List[rows.Row]:
    found: List[rows.Row] = []
    with _Scene('all', lambda folder: _with_audio(folder, args.idle_s + 10.0), voice=False,
                args=args) as scene:
        if 'idle' in only:
            found += _idle(scene, args.idle_s)
        if 'interrupt' in only:
            for metric, samples in scene.samples(
                    'interrupt', lambda number: _interruption(scene.probe, number)).items():
                found += _latency(metric, 'stop', samples)
    return found


def _interruption(probe, number: int) -> Optional[Dict[str, float]]:
    """Interrupt a long answer at some moment of it; None when it was silent just then."""
    from async_agent_ros.msg import Interrupt
    from async_agent_ros.nodes.node_base import to_ns, to_time
    probe.say(f'speech {number}')
    probe.until('speech', lambda: any(p.state == 'started' for p in probe.progress), 30.0)
    probe.spin(random.uniform(0.2, 0.8))
    heard_ns = probe.last_sound_ns
    requested_ns = time.time_ns()
    probe.interrupt_request.publish(
        Interrupt(stamp=to_time(requested_ns), action='stop', reason='bench'))
    probe.until('the interrupt', lambda: any(m.action == 'stop' for m in probe.interrupts))
    probe.until('the end of speech', lambda: probe.idle and any(
        p.state in ('stopped', 'finished') for p in probe.progress))
    probe.spin(0.06)    # blocks that are still on the way
    published_ns = next(to_ns(m.stamp) for m in probe.interrupts if m.action == 'stop')
    if requested_ns - heard_ns > 30_000_000 or probe.last_sound_ns < published_ns:
        return None    # a pause between words: nothing was cut
    return {'interrupt_to_cut_ms': (probe.last_sound_ns - published_ns) / 1e6,
            'request_to_cut_ms': (probe.last_sound_ns - requested_ns) / 1e6}


def _idle(scene: _Scene, seconds: float) -> List[rows.Row]:
    """Watch the agent do nothing: first with an ear on a quiet room, then without any sound."""
    found: List[rows.Row] = []
    probe, pids = scene.probe, scene.agent.pids
    probe.spin(SETTLE_S)
    for mode in ('no sound', 'listening'):
        if mode == 'listening':
            _play(probe)
        found += _watch(mode, pids, seconds)
    memory = {name: session_memory_mb(pid) for name, pid in pids.items()}
    for name, value in [*memory.items(), ('all', sum(memory.values()))]:
        found.append(rows.single(BENCH, 'idle_memory_mb', name, 'shared pages in part', 'MB', 1,
                                 value))
    return found


def _watch(mode: str, pids: Dict[str, int], seconds: float) -> List[rows.Row]:
    # This process sleeps meanwhile: it would be one more reader of what the nodes publish.
    spans = max(1, math.ceil(seconds))
    before = {name: session_cpu_s(pid) for name, pid in pids.items()}
    began_s = time.monotonic()
    time.sleep(seconds)
    passed_s = time.monotonic() - began_s
    used = {name: (session_cpu_s(pid) - before[name]) / passed_s * 100.0
            for name, pid in pids.items()}
    return [rows.single(BENCH, 'idle_cpu_percent', name, mode, '%', spans, value)
            for name, value in [*used.items(), ('all', sum(used.values()))]]


def _play(probe) -> None:
    from std_srvs.srv import Trigger
    client = probe.node.create_client(Trigger, 'asr/play')
    probe.until('asr', client.service_is_ready)
    future = client.call_async(Trigger.Request())
    probe.until('the answer of asr/play', future.done)
    probe.node.destroy_client(client)
    probe.spin(1.0)
