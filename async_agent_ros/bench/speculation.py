"""
Work while the person still speaks: speed and accuracy against the sequential agent, and waste.

Spoken tasks are played against the real kernel on virtual time: the person's words, a recogniser, a
language model of fixed speed that writes what a good model would write, and tools with latencies.
With --engine and --model a real model writes instead, and the time that it computes counts. The
oracle is the bound that no scheduling can beat. See docs/bench.md.
"""
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from async_agent_ros.bench.common import rows
from async_agent_ros.llm.engine import PAUSE_PENALTY

BENCH = 'speculation'
WORKLOADS = ('assistant', 'twohop', 'robot')
SEQUENTIAL, ORACLE, ADVERSARY = 'sequential', 'oracle', 'adversary'
DRIVES = ('stream', 'revise')


@dataclass(frozen=True)
class Mode:
    """How the agent works: settings of the kernel, and whether the model calls side by side."""

    settings: Mapping[str, Any]
    side_by_side: bool = True


def modes(drive: str, settings: Mapping[str, Any] = {}) -> Dict[str, Mode]:
    """Return the modes that are played; a drive other than the first stands in their names."""
    on = {**settings, 'speculation': drive}
    suffix = '' if drive == DRIVES[0] else f' ({drive})'
    return {
        SEQUENTIAL: Mode({}, side_by_side=False),
        f'async{suffix}': Mode({**on, 'speculation_calls': 0}),
        f'speculative{suffix}': Mode(on, side_by_side=False),
        f'both{suffix}': Mode(on)}


class SpeculationError(Exception):
    """An option cannot be used. The message names it and the remedy."""


def add_arguments(parser) -> None:
    """Declare the options of `async-agent bench speculation`."""
    parser.add_argument('--workloads', default=','.join(WORKLOADS), metavar='NAMES',
                        help='with commas between (default: %(default)s)')
    parser.add_argument('--drive', default='both', choices=(*DRIVES, 'both'),
                        help='how the model is driven ahead: a stream of edits, anew from each '
                        'revision, or both in turn (default: %(default)s)')
    parser.add_argument('--modes', default='', metavar='NAMES',
                        help='with commas between, such as sequential,both (default: every one)')
    parser.add_argument('--n', type=int, default=0, metavar='COUNT',
                        help='tasks of each workload, spread over all; 0: every one '
                        '(default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='draws latencies and ends of turns')
    parser.add_argument('--repeats', type=int, default=1, metavar='COUNT',
                        help='times that each task is played, with new latencies each '
                        '(default: %(default)s)')
    parser.add_argument('--decode-per-s', type=float, default=40.0, metavar='TOKENS',
                        help='speed of writing of the timed model (default: %(default)s)')
    parser.add_argument('--prefill-per-s', type=float, default=1500.0, metavar='TOKENS',
                        help='its speed of reading (default: %(default)s)')
    parser.add_argument('--kernel', action='append', default=[], metavar='NAME=VALUE',
                        help='a setting of the kernel in the modes that speculate, such as '
                        'speculation_drafts=24; may be given several times')
    parser.add_argument('--verify', action='store_true', help='the timed model checks the draft '
                        'before in one pass instead of writing the same again, as the engine '
                        'transformers does')
    parser.add_argument('--engine', default='timed',
                        help='timed, or an engine of the dispatcher (default: %(default)s)')
    parser.add_argument('--model', default='', help='model of a real engine, or a tuned model')
    parser.add_argument('--threads', type=int, default=2, help='of a real engine')
    parser.add_argument('--pause-penalty', type=float, default=PAUSE_PENALTY, metavar='LOGITS',
                        help='of a real engine: taken from the logit of <pause> (default: '
                        '%(default)s)')
    parser.add_argument('--plot', type=Path, metavar='FILE', help='also draw the speed-ups (SVG)')
    parser.add_argument('--show', action='store_true', help='print every task as it is played')


def models(args) -> Dict[str, str]:
    """Return the models that take part."""
    return {'language': f'{args.engine} {args.model}'.strip() if args.engine != 'timed' else
            f'timed, {args.decode_per_s:g} tokens/s written, {args.prefill_per_s:g} read'}


def run(args) -> List[rows.Row]:
    """Play the tasks in every mode; return rows."""
    from async_agent_ros.bench import workloads
    names = [n.strip() for n in args.workloads.split(',') if n.strip()]
    unknown = sorted(set(names) - set(WORKLOADS))
    if unknown or not names:
        raise SpeculationError(f'--workloads {args.workloads!r}: it must be some of '
                               f'{", ".join(WORKLOADS)}')
    if args.plot and not args.plot.absolute().parent.is_dir():
        raise SpeculationError(f'{args.plot.absolute().parent} is no folder: make it, or give '
                               '--plot another path')
    settings = _settings(args.kernel)
    chosen: Dict[str, Mode] = {}
    for drive in DRIVES if args.drive == 'both' else (args.drive,):
        chosen.update(modes(drive, settings))
    chosen = _only(chosen, args.modes)
    writer = _RealModel(args) if args.engine != 'timed' else _TimedModel(args)
    found: List[rows.Row] = []
    try:
        for name in names:
            found += _play(workloads.load(name), chosen, writer, args)
    finally:
        writer.close()
    if args.plot:
        _plot(args.plot, found)
    return found


def _only(every: Mapping[str, Mode], names: str) -> Dict[str, Mode]:
    """Return the modes that are wanted, with any drive; '': all."""
    wanted = {n.strip() for n in names.split(',') if n.strip()}
    unknown = wanted - {mode.split(' ')[0] for mode in every}
    if unknown:
        raise SpeculationError(f'--modes {names!r}: {", ".join(sorted(unknown))} is none of '
                               f'{", ".join(dict.fromkeys(m.split(" ")[0] for m in every))}')
    return {m: how for m, how in every.items() if not wanted or m.split(' ')[0] in wanted}


def _settings(given: Sequence[str]) -> Dict[str, Any]:
    from async_agent_ros.core.settings import Settings
    known = {k: v for k, v in vars(Settings()).items()
             if k.startswith('speculation_') or isinstance(v, (int, float))}
    found: Dict[str, Any] = {}
    for one in given:
        name, _, value = one.partition('=')
        try:
            found[name] = type(known[name])(value)
        except (KeyError, ValueError):
            raise SpeculationError(f'--kernel {one!r}: it must be NAME=VALUE, with a number for '
                                   f'one of {", ".join(sorted(known))}') from None
    return found


# -- who writes -----------------------------------------------------------------------------------
class _TimedModel:
    """A model of fixed speed; a planner tells what it writes."""

    one_call = False

    def __init__(self, args):
        from async_agent_ros.bench.common.language import load_prompt
        _, self.prompt_format = load_prompt('prompt_tuned.yaml')
        self._args = args

    def source(self, write):
        """Return a source for one conversation."""
        from async_agent_ros.bench.virtual.engine import TimedSource
        return TimedSource(lambda job: write(job.entries), decode_per_s=self._args.decode_per_s,
                           prefill_per_s=self._args.prefill_per_s,
                           verify=self._args.verify)

    def close(self) -> None:
        """Nothing is held."""


class _RealModel:
    """A model of the dispatcher; its computing time is put on the virtual clock."""

    one_call = True

    def __init__(self, args):
        from async_agent_ros.bench.common.language import load_model
        self._engine, _, self.prompt_format = load_model(
            args.engine, args.model, args.threads, pause_penalty=args.pause_penalty)

    def source(self, write):
        """Return a source for one conversation; what the planner would write does not matter."""
        from async_agent_ros.bench.virtual.engine import RealSource
        return RealSource(self._engine)

    def close(self) -> None:
        """Free the weights."""
        self._engine.close()


# -- play -----------------------------------------------------------------------------------------
def _play(workload, chosen: Mapping[str, Mode], writer, args) -> List[rows.Row]:
    from async_agent_ros.bench.virtual import judge, oracle
    from async_agent_ros.bench.virtual.person import Ear
    items = spread(workload.items, args.n)
    seeds = range(args.seed, args.seed + args.repeats)
    found: Dict[str, List[judge.Figures]] = {mode: [] for mode in chosen}
    found[ORACLE] = []
    for seed in seeds:
        for item in items:
            ideal = workload.ideal(item, seed)
            for mode, how in chosen.items():
                outcome = converse(workload, item, how, writer, seed)
                one = judge.figures(workload, item, ideal, outcome)
                found[mode].append(one)
                if args.show:
                    print(_line(mode, one), flush=True)
            found[ORACLE].append(judge.of_bound(item, oracle.bound(
                workload, item, Ear(), seed, args.decode_per_s)))
    if args.engine != 'timed':
        del found[ORACLE]    # its speed is that of the timed model
    report = _report(workload.name, found)
    if args.engine == 'timed':
        hostile = {how.settings['speculation']: how for how in chosen.values()
                   if how.settings and how.side_by_side}
        report += [_adversary(workload, items, drive, how, writer, args.seed)
                   for drive, how in hostile.items()]
    return report


def _line(mode: str, one) -> str:
    last_s = 'never' if one.last_result_s is None else f'{one.last_result_s:.2f} s'
    return f'{one.item}  {mode:22}{last_s:>8}' + (f'  {one.problem}' if one.problem else '')


def spread(items: Sequence[Any], count: int) -> Sequence[Any]:
    """Return `count` items from the whole of the list, all of them when 0."""
    if not 0 < count < len(items):
        return items
    return [items[i * len(items) // count] for i in range(count)]


def converse(workload, item, how: Mode, writer, seed: int, write=None):
    """Play one task in one mode; return its outcome."""
    from async_agent_ros.bench.virtual.conversation import Conversation
    from async_agent_ros.bench.virtual.planner import Planner
    from async_agent_ros.core.settings import Settings
    planner = Planner(workload, item, side_by_side=how.side_by_side)
    return Conversation(
        workload, item, Settings.from_json(how.settings), writer.source(write or planner.write),
        seed, one_call=writer.one_call and not how.side_by_side,
        prompt_format=writer.prompt_format).run()


def _adversary(workload, items, drive: str, how: Mode, writer, seed: int) -> rows.Row:
    """Have a model play that acts at once and changes its mind with every word."""
    from async_agent_ros.bench.virtual.planner import Adversary
    unsafe = deeds = 0
    for item in items:
        hostile = Adversary(workload, item, seed)
        outcome = converse(workload, item, how, writer, seed, hostile.write)
        unsafe += outcome.unsafe
        deeds += sum(not e.read_only for e in outcome.executions)
    mode = ADVERSARY if drive == DRIVES[0] else f'{ADVERSARY} ({drive})'
    return rows.single(BENCH, 'unsafe_before_commit', workload.name, mode, 'calls', deeds, unsafe)


# -- report ---------------------------------------------------------------------------------------
def _report(workload: str, found: Mapping[str, Sequence[Any]]) -> List[rows.Row]:
    report: List[rows.Row] = []
    for mode, figures in found.items():
        for metric, name in (('last_result_ms', 'last_result_s'), ('first_word_ms',
                                                                   'first_word_s')):
            values = [getattr(f, name) * 1e3 for f in figures if getattr(f, name) is not None]
            if values:
                report.append(rows.distribution(BENCH, metric, workload, mode, 'ms', values,
                                                mean=rows.rounded(sum(values) / len(values))))
    for mode, figures in found.items():
        report += _ratios(workload, mode, figures, found)
    for mode, figures in found.items():
        if mode != ORACLE:
            report += _counts(workload, mode, figures)
    return report


def _ratio(workload, metric, mode, unit, over, under, name, scale=1.0) -> List[rows.Row]:
    """Return the ratio of two means of the items that ended in both modes, with its interval."""
    from async_agent_ros.bench.common.intervals import bootstrap
    pairs = [(getattr(a, name), getattr(b, name)) for a, b in zip(over, under)
             if getattr(a, name) is not None and getattr(b, name) is not None]
    if not pairs:
        return []

    def ratio(sample):
        return scale * sum(a for a, _ in sample) / sum(b for _, b in sample)

    low, high = bootstrap(pairs, ratio)
    return [rows.single(BENCH, metric, workload, mode, unit, len(pairs), ratio(pairs),
                        low=rows.rounded(low), high=rows.rounded(high))]


def _ratios(workload: str, mode: str, figures, found) -> List[rows.Row]:
    report: List[rows.Row] = []
    if SEQUENTIAL in found and mode != SEQUENTIAL:
        for metric, name in (('speedup', 'last_result_s'), ('first_word_speedup',
                                                            'first_word_s')):
            report += _ratio(workload, metric, mode, 'ratio', found[SEQUENTIAL], figures, name)
    if ORACLE in found and mode != ORACLE:
        for metric, name in (('critical_path_share', 'last_result_s'),
                             ('first_word_share', 'first_word_s')):
            report += _ratio(workload, metric, mode, '%', found[ORACLE], figures, name, 100.0)
    return report


def _counts(workload: str, mode: str, figures) -> List[rows.Row]:
    from async_agent_ros.bench.common.intervals import bootstrap

    def share(sample):
        return 100.0 * sum(f.right for f in sample) / len(sample)

    def row(metric, unit, n, value, **more):
        return rows.single(BENCH, metric, workload, mode, unit, n, value, **more)

    low, high = bootstrap(figures, share)
    early, n = sum(f.early for f in figures), len(figures)
    report = [row('accuracy_percent', '%', n, share(figures), low=rows.rounded(low),
                  high=rows.rounded(high)),
              row('unsafe_before_commit', 'calls', sum(f.deeds for f in figures),
                  sum(f.unsafe for f in figures))]
    if mode == SEQUENTIAL:
        return report
    if early:
        report.append(row('hit_rate_percent', '%', early,
                          100.0 * sum(f.hits for f in figures) / early))
    leads = [lead_s * 1e3 for f in figures for lead_s in f.leads_s]
    if leads:
        report.append(rows.distribution(BENCH, 'lead_time_ms', workload, mode, 'ms', leads))
    report.append(row('wasted_tool_s', 's', n, sum(f.wasted_tool_s for f in figures) / n))
    report.append(row('draft_tokens', 'tokens', n, sum(f.draft_tokens for f in figures) / n))
    return report


def _plot(path: Path, found: Sequence[rows.Row]) -> None:
    from async_agent_ros.bench.common import bars
    drawn = [bars.Bar(r['workload'], r['mode'], r['value'], r['low'], r['high'])
             for r in found if r['metric'] == 'speedup']
    bars.write(path, bars.chart(
        'Speed-up over the sequential agent, end of speech to the last result',
        'times as fast (95 % interval)', drawn))
    print(f'drawn in {path}')
