"""`async-agent train`: teach a model this protocol and a robot's tools."""
import pathlib
import shlex
import sys
import time
from typing import Any, Dict, List

from async_agent_ros.llm.engine import PAUSE_PENALTY
from async_agent_ros.training.tables import TableError


def add_arguments(parser) -> None:
    """Declare the options of `async-agent train`."""
    actions = parser.add_subparsers(dest='action', metavar='ACTION', required=True)
    _tools(actions.add_parser('tools', help='write the tools of a robot to a file, to learn them'))
    _synthesize(actions.add_parser('synthesize', help='write synthetic conversations'))
    _sft(actions.add_parser('sft', help='fine-tune a model on them; a run that was stopped goes '
                                        'on'))
    _export(actions.add_parser('export', help='write a trained adapter as GGUF for llama.cpp, or '
                                              'merged into the weights'))
    _average(actions.add_parser('average', help='write the mean of two adapters'))
    _eval(actions.add_parser('eval', help='compare base, constrained and tuned model on held-out '
                                          'cases'))
    _learn(actions.add_parser('learn', help="all of it: learn a robot's own tools"))


def _robot_options(parser, default='sim') -> None:
    parser.add_argument('--tools', default=default, metavar='sim|live|none|FILE',
                        help="the robot's own tools: the simulated robot's, those of the running "
                             f'agent, none, or a file of `train tools` (default: {default})')
    parser.add_argument('--phrases', metavar='FILE', help='YAML file of how people ask for them '
                        '(like training/data/sim_robot.yaml); default: their examples')
    parser.add_argument('--namespace', default='/agent', help='namespace of the running agent')


def _tools(parser) -> None:
    _robot_options(parser, 'live')
    parser.add_argument('-o', '--output', type=pathlib.Path, required=True, metavar='FILE')


def _synthesize(parser, with_out=True) -> None:
    if with_out:
        _robot_options(parser)
        parser.add_argument('--out', type=pathlib.Path, required=True, metavar='FOLDER')
    parser.add_argument('--conversations', type=int, default=4000, metavar='N',
                        help='of the split train; the others have 3 %% of it (default: '
                        '%(default)s)')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--own', type=float, default=0.4, metavar='PART',
                        help="part of the conversations over the robot's own tools (default: "
                        '%(default)s)')
    parser.add_argument('--elsewhere', type=float, default=0.4, metavar='PART',
                        help='part of these with other rooms, things and people than the schemas '
                        'list, so that the map may change (default: 0.4)')
    parser.add_argument('--stream', type=float, default=0.5, metavar='PART',
                        help='part of the conversations with partial speech (default: 0.5)')
    parser.add_argument('--per-robot', type=int, default=4, metavar='N',
                        help='conversations in a row with the same tools (default: 4)')
    parser.add_argument('--paraphrase-url', metavar='URL', help='address of an OpenAI-compatible '
                        'server that rewords the templates of the split train')
    parser.add_argument('--paraphrase-model', default='', metavar='NAME')
    parser.add_argument('--paraphrases', type=int, default=4, metavar='N',
                        help='new wordings asked for per template (default: 4)')


def _sft(parser, with_out=True) -> None:
    if with_out:
        parser.add_argument('--data', type=pathlib.Path, required=True, metavar='FOLDER')
        parser.add_argument('--out', type=pathlib.Path, required=True, metavar='FOLDER')
    parser.add_argument('--preset', default='smollm2-135m',
                        help='settings of config/training.yaml (default: %(default)s)')
    parser.add_argument('--model', help='instead of that of the preset: a packaged name or a path')
    parser.add_argument('--steps', type=int, help='train so many steps, whatever the preset says')
    parser.add_argument('--until', type=int, metavar='STEP', help='stop after this step; the '
                        'learning rate falls as for all --steps, and the run can go on')
    parser.add_argument('--device', help="'cpu' or 'cuda'")
    parser.add_argument('--threads', type=int, help='CPU threads')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        help='any other setting of training/presets.py')


def _export(parser) -> None:
    parser.add_argument('adapter', type=pathlib.Path, help='folder of the adapter')
    parser.add_argument('--to', choices=('gguf', 'merged'), default='gguf')
    parser.add_argument('--model', default='', help='its base, when it is not where it was')
    parser.add_argument('-o', '--output', type=pathlib.Path, required=True, metavar='PATH')


def _average(parser) -> None:
    parser.add_argument('first', type=pathlib.Path, help='folder of the adapter that was before')
    parser.add_argument('second', type=pathlib.Path, help='folder of what was trained from it')
    parser.add_argument('--weight', type=float, default=0.5, metavar='PART',
                        help='of the second (default: 0.5)')
    parser.add_argument('-o', '--output', type=pathlib.Path, required=True, metavar='FOLDER')


def _eval(parser, with_model=True) -> None:
    if with_model:
        _robot_options(parser)
        parser.add_argument('--model', default='qwen2.5-coder-0.5b', help='the base model')
        parser.add_argument('--adapter', default='', help='what was trained for it: a folder '
                            '(transformers) or a .gguf file (llama_cpp)')
        parser.add_argument('--tuned', default='', metavar='PATH',
                            help='whole tuned weights instead of an adapter')
        parser.add_argument('--device', default='auto')
        parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--engine', default='transformers', choices=('transformers', 'llama_cpp'))
    parser.add_argument('--modes', default='base,constrained,tuned',
                        help='of base, constrained, untrained (the base with the prompt of the '
                        'tuned model), tuned, tuned_constrained, comma-separated')
    parser.add_argument('--workloads', default='templates,new_tools,natural',
                        help='of templates, new_tools, natural, natural_2, natural_3, '
                        'natural_4, or a YAML file of commands for your robot (like '
                        'training/data/natural.yaml), comma-separated')
    parser.add_argument('--cases', type=int, default=200, metavar='N',
                        help='per workload; of the natural set at most all (default: %(default)s)')
    parser.add_argument('--case-seed', type=int, default=1, metavar='SEED')
    parser.add_argument('--pause-penalty', type=float, default=PAUSE_PENALTY, metavar='LOGITS',
                        help='taken from the logit of <pause> on partial words (default: '
                        '%(default)s)')
    parser.add_argument('--prompt', default='prompt.yaml', help='prompt file of the base model')
    parser.add_argument('--tuned-prompt', default='prompt_tuned.yaml',
                        help='prompt file that the tuned model was trained with')
    parser.add_argument('--show', action='store_true', help='print every answer that is wrong')
    parser.add_argument('--json', type=pathlib.Path, metavar='FILE',
                        help='also write the rows to this file, as a JSON list')


def _learn(parser) -> None:
    _robot_options(parser, 'live')
    parser.add_argument('--out', type=pathlib.Path, required=True, metavar='FOLDER')
    _synthesize(parser, with_out=False)
    _sft(parser, with_out=False)
    parser.add_argument('--weight', type=float, default=0.5, metavar='PART',
                        help='of what is learned, in the mean with the adapter that it begins '
                        'with (default: %(default)s)')
    _eval(parser, with_model=False)
    # what two CPU cores do in an hour
    parser.set_defaults(preset='own-tools', conversations=600, own=0.6, engine='llama_cpp',
                        modes='base,tuned', workloads='templates,new_tools', cases=60)


def run(args) -> int:
    """Carry out the action."""
    return {'tools': run_tools, 'synthesize': run_synthesize, 'sft': run_sft,
            'export': run_export, 'average': run_average, 'eval': run_eval,
            'learn': run_learn}[args.action](args)


def _robot(args):
    from async_agent_ros.training.robots import robot_of
    return robot_of(args.tools, args.phrases, args.namespace)


def run_tools(args) -> int:
    """Write the tools of a robot to a file."""
    from async_agent_ros.training.own_tools import as_json
    robot = _robot(args)
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(as_json(robot.specs), encoding='utf-8')
    except OSError as error:
        raise TableError(f'{args.output} cannot be written: {error.strerror}') from error
    print(f'{len(robot.specs)} tools written to {args.output}')
    return 0


class _Progress:
    """One line that is overwritten on a terminal; elsewhere a line now and then."""

    def __init__(self):
        self._live = sys.stderr.isatty()
        self._printed_s = 0.0

    def __call__(self, text: str, last: bool = False) -> None:
        if self._live:
            print(f'\r\x1b[K{text}', end='\n' if last else '', file=sys.stderr, flush=True)
        elif last or time.monotonic() - self._printed_s > 10.0:
            print(text, file=sys.stderr, flush=True)
            self._printed_s = time.monotonic()


def run_synthesize(args) -> int:
    """Write the data."""
    from async_agent_ros.training import paraphrase, synthesize
    robot = _robot(args)
    recipe = synthesize.Recipe(args.conversations, args.seed, args.stream, args.own,
                               args.elsewhere, per_robot=args.per_robot)
    progress = _Progress()
    reworded = {}
    if args.paraphrase_url:
        reworded = paraphrase.load_or_ask(args.out, args.paraphrase_url, args.paraphrase_model,
                                          args.paraphrases, args.seed, progress)
    card = synthesize.write(args.out, recipe, robot,
                            lambda split, done, of: progress(f'{split}: {done} of {of}',
                                                             done == of), reworded)
    for split, counts in card['splits'].items():
        print(f'{split}: {counts["conversations"]} conversations, {counts["samples"]} samples, '
              f'{counts["generations"]} generations, {counts["calls"]} calls, about '
              f'{counts["tokens_about"] / 1e6:.2f} million tokens')
    print(f'written to {args.out}; the data card is README.md')
    return 0


def _settings(args):
    from async_agent_ros.training.presets import preset, settings_of
    changes: Dict[str, Any] = {}
    for item in args.set:
        name, equals, value = item.partition('=')
        if not equals:
            raise TableError(f'--set {item}: write NAME=VALUE')
        changes[name] = value.split(',') if name == 'modules' else (
            value.lower() in ('1', 'true', 'yes') if name == 'checkpointing' else value)
    for name in ('model', 'steps', 'device', 'threads'):
        if getattr(args, name) is not None:
            changes[name] = getattr(args, name)
    return settings_of(changes, preset(args.preset))


def run_sft(args) -> int:
    """Train."""
    from async_agent_ros.training.sft import Trainer
    trainer = Trainer(_settings(args), args.data, args.out,
                      lambda line: print(line, file=sys.stderr, flush=True))
    trainer.run(args.until)
    kind = 'adapter' if trainer.settings.method == 'lora' else 'merged'
    print(f'trained: {args.out / kind}; curves: {args.out / "curves.svg"}')
    return 0


def run_export(args) -> int:
    """Write an adapter in another form."""
    if args.to == 'gguf':
        from async_agent_ros.training.gguf_adapter import facts, write_gguf
        path = write_gguf(args.adapter, args.output, args.model)
        print(f'{path}: {facts(path)["bytes"] / 1e6:.1f} MB; use it with the parameters adapter: '
              f'{path} and prompt_file: config/prompt_tuned.yaml of the dispatcher')
    else:
        from async_agent_ros.training.sft import merge
        print(f'written to {merge(args.adapter, args.output, args.model)}')
    return 0


def run_average(args) -> int:
    """Write the mean of two adapters."""
    from async_agent_ros.training.average import average
    print(f'written to {average(args.first, args.second, args.output, args.weight)}')
    return 0


def run_eval(args) -> int:
    """Evaluate, show the rows, write them."""
    from async_agent_ros.bench.common import output, rows
    from async_agent_ros.bench.common.machine import machine_row
    measured = rows.checked(_measure(args))
    settings = {k: str(v) for k, v in vars(args).items() if k not in ('run', 'command')}
    machine = machine_row('train', settings, {'language': args.model})
    output.show(machine, measured)
    if args.json:
        output.write_json(args.json, machine, measured)
        print(f'written to {args.json}')
    return 0


def _measure(args) -> List[Dict[str, Any]]:
    from async_agent_ros.llm.factory import make_engine
    from async_agent_ros.training import cases, evaluate
    from async_agent_ros.training.paths import load_format
    from async_agent_ros.training.robots import sim_specs
    modes = [m for m in args.modes.split(',') if m]
    for mode in modes:
        if mode not in evaluate.MODES:
            raise TableError(f'--modes: {mode!r} is not one of {", ".join(evaluate.MODES)}')
    if not (args.adapter or args.tuned):
        modes = [m for m in modes if not m.startswith('tuned')]
    robot, tuned_form = _robot(args), load_format(args.tuned_prompt)
    chosen = []
    for workload in args.workloads.split(','):
        if workload in cases.NATURAL:
            chosen += cases.natural(args.cases, sim_specs(), workload)
        elif workload.endswith('.yaml'):
            chosen += cases.of_file(workload, args.cases, robot.specs)
        elif workload in cases.WORKLOADS:
            chosen += cases.played(workload, args.cases, args.case_seed, robot, tuned_form)
        else:
            raise TableError(f'--workloads: {workload!r} is not one of '
                             f'{", ".join(cases.WORKLOADS)}, and no file of commands (.yaml)')
    print(f'{len(chosen)} cases', file=sys.stderr)
    made: List[Dict[str, Any]] = []
    for tuned in (False, True):
        mine = [m for m in modes if m.startswith('tuned') == tuned]
        if not mine:
            continue
        engine = make_engine(
            args.engine, model=args.tuned if tuned and args.tuned else args.model,
            adapter=args.adapter if tuned and not args.tuned else '',
            device=args.device if args.engine == 'transformers' else None, threads=args.threads,
            prefix_folder='', call_ids=tuned and tuned_form.show_ids,
            pause_penalty=args.pause_penalty)
        engine.load()
        try:
            for mode in mine:
                form = tuned_form if evaluate.reads_as_trained(mode) else load_format(
                    args.prompt)
                verdicts = evaluate.run_mode(engine, mode, chosen, form, _shown(args, mode))
                made += evaluate.rows(args.model, mode, verdicts)
        finally:
            engine.close()
    return made


def _shown(args, mode):
    progress, count = _Progress(), [0]

    def show(verdict):
        count[0] += 1
        wrong = verdict.valid or (verdict.right is False and 'wrong calls') or (
            verdict.safe is False and 'unsafe') or verdict.faithful
        if args.show and wrong:
            print(f'{mode} {verdict.case.name} {verdict.case.kind} '
                  f'{verdict.case.heard or verdict.case.entries[-1].content!r:.120}\n'
                  f'    {verdict.output!r}   <- {wrong}', flush=True)
        progress(f'{mode}: {count[0]} cases')
    return show


def run_learn(args) -> int:
    """
    Learn a robot's tools: write data, train, export, evaluate. Each step is kept and reused.

    What was trained on from an adapter is averaged with it (training/average.py).
    """
    import shutil

    from async_agent_ros import tuned_models
    from async_agent_ros.bringup import config_file
    from async_agent_ros.llm.engine import ModelMissingError
    from async_agent_ros.llm.llama_cpp import gguf_path
    from async_agent_ros.training.average import average
    from async_agent_ros.training.card import write_card
    from async_agent_ros.training.sft import first_adapter, TrainingError
    settings = _settings(args)
    if settings.method != 'lora':
        raise TrainingError('learn trains an adapter; for all weights use sft')
    out = args.out
    args.data, adapter, gguf = out / 'data', out / 'run' / 'adapter', out / 'adapter.gguf'
    if args.tools == 'live':
        # the agent need not run until the end, and what goes on learns the same tools
        args.output = out / 'tools.json'
        if not args.output.is_file():
            run_tools(args)
        args.tools = str(args.output)
    if not (args.data / 'card.json').is_file():
        args.out = args.data
        run_synthesize(args)
    if not adapter.is_dir():
        args.out = out / 'run'
        run_sft(args)
    if settings.start:
        # alone it forgets what it could: two requests in one breath, what a tool is not for
        adapter = average(first_adapter(settings), adapter, out / 'adapter', args.weight)
    args.adapter, args.output, args.to, args.tuned = adapter, gguf, 'gguf', ''
    args.model = settings.model
    adapters = {'transformers': str(adapter.relative_to(out))}
    try:
        run_export(args)
        adapters['llama_cpp'] = gguf.name
        if args.engine == 'llama_cpp':
            gguf_path(settings.model)
            args.adapter = gguf
    except (TrainingError, ModelMissingError) as error:
        print(f'not for llama.cpp: {error}', file=sys.stderr)
        args.engine = 'transformers'
    form = pathlib.Path(args.tuned_prompt)
    shutil.copyfile(form if form.is_file() else config_file(form.name), out / 'prompt.yaml')
    tuned_models.write(out, settings.model, adapters, 'prompt.yaml')
    args.adapter, args.device = str(args.adapter), args.device or 'auto'
    args.threads = args.threads or 2
    args.json = args.json or out / 'eval.json'
    run_eval(args)
    weights = gguf if gguf.is_file() else adapter / 'adapter_model.safetensors'
    command = ' '.join(['async-agent', *map(shlex.quote, sys.argv[1:])])
    print(f'model card: {write_card(out, settings.to_json(), command, weights)}\n'
          f'run it with the parameter model: {out.resolve()} of the dispatcher')
    return 0
