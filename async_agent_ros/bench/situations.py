"""
Situations: does a model do the right thing in the middle of a conversation.

Each situation is a ledger up to the point where the model must answer, and what a right answer
is: which calls, and what its words must or must not say. The prompt is rendered by the agent's own
renderer, over the simulated robot's own tools, so that a change of either shows here.
"""
import re
import statistics
import threading
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence

from async_agent_ros.bench.common.language import load_model
from async_agent_ros.bench.common.rows import distribution, single
from async_agent_ros.bench.common.scene import S, Scene, Situation
from async_agent_ros.bench.common.situation_set import situations
from async_agent_ros.bench.common.written import write
from async_agent_ros.bringup import config_file
from async_agent_ros.core.built_in import TOOLS as BUILT_IN
from async_agent_ros.core.chatml import Call, Parser, PromptFormat, Rejected, Renderer, Text
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.llm.engine import GenerationRequest


@dataclass(frozen=True)
class Verdict:
    """What a model wrote in a situation, and what is wrong with it ('' when right)."""

    situation: Situation
    output: str
    problem: str
    first_text_s: float
    """Seconds to the first whole sentence or call."""
    whole_s: float
    prompt_tokens: int
    new_tokens: int


def judge(situation: Situation, output: str, prompt_format: PromptFormat = PromptFormat(),
          specs: Sequence[ToolSpec] = ()) -> str:
    """Return what is wrong with an output, or ''."""
    parser = Parser(prompt_format)
    events = parser.feed(output) + parser.finish()
    rejected = [e for e in events if isinstance(e, Rejected)]
    if rejected:
        return f'not parsable: {rejected[0].reason}'
    made = [(e.name, dict(e.arguments)) for e in events if isinstance(e, Call)]
    known = {s.name: s for s in specs}
    for name, arguments in made:
        if known and name not in known:
            return f'unknown tool {name}'
        wrong = known[name].check_arguments(arguments) if known else None
        if wrong and situation.refused:
            return ''
        if wrong:
            return f'wrong arguments of {name}: {wrong}'
    if not situation.calls_are(made):
        return f'called {made or "nothing"}'
    text = ''.join(e.text for e in events if isinstance(e, Text)).strip()
    if situation.text and not text:
        return 'said nothing'
    if situation.text is False and text:
        return f'said {text!r}'
    if situation.must and not re.search(situation.must, text, re.I):
        return f'did not say /{situation.must[:24]}/'
    if situation.must_not:
        found = re.search(situation.must_not, text, re.I)
        if found:
            return f'said {found.group(0)!r}'
    if len(text.split()) > situation.longest_words:
        return f'{len(text.split())} words'
    return ''


def sim_tools() -> List[ToolSpec]:
    """Return the catalogue of the simulated robot, and the built-in tools."""
    from async_agent_ros.tools.sim.map import load_map
    from async_agent_ros.tools.sim.simulation import Simulation
    from async_agent_ros.tools.sim.tools import build_tools
    from async_agent_ros.tools.sim.world import World

    class Clock:
        def now_s(self):
            return 0.0
    world = World(load_map(config_file('sim_map.yaml')))
    return [t.spec for t in build_tools(Simulation(world, Clock()))] + list(BUILT_IN.values())


def run_one(engine, situation: Situation, persona: str, prompt_format: PromptFormat,
            specs: Sequence[ToolSpec], constrained: bool = True) -> Verdict:
    """Put one situation to the engine."""
    scene = situation.build(Scene(specs, persona))
    renderer = Renderer(prompt_format)
    # what came before was read while it happened: only the last event is new to the model
    renderer.feed(scene.entries[:-1])
    if renderer.text:
        list(engine.stream(GenerationRequest('main', renderer.text, 1), threading.Event()))
    renderer.feed(scene.entries[-1:])
    request = GenerationRequest('main', renderer.prompt(int((scene.clock_s + 0.5) * S)), 160,
                                tools=tuple(specs) if constrained else (),
                                next_call=renderer.next_call)
    written, stats = write(engine, request, Parser(prompt_format)), request.stats
    return Verdict(situation, written.text, judge(situation, written.text, prompt_format, specs),
                   written.first_s, written.whole_s, stats.prompt_tokens,
                   stats.prompt_tokens - stats.cached_tokens)


def add_arguments(parser) -> None:
    """Declare the options of `async-agent bench situations`."""
    parser.add_argument('--engine', default='llama_cpp', choices=('llama_cpp', 'transformers'))
    parser.add_argument('--model', action='append',
                        help='packaged model, tuned model or path; may be given several times')
    parser.add_argument('--prompt', help="prompt file; default: a tuned model's, else the "
                        "package's own")
    parser.add_argument('--only', default='', help='groups or names to run, comma-separated')
    parser.add_argument('--unconstrained', action='store_true', help='without the grammar')
    parser.add_argument('--show', action='store_true', help='print every answer')
    parser.add_argument('--threads', type=int, default=2)


def run(args) -> List[Dict[str, Any]]:
    """Run the set on each model, print a table, return rows."""
    specs = sim_tools()
    only = set(filter(None, args.only.split(',')))
    chosen = [s for s in situations() if not only or {s.group, s.name} & only]
    rows: List[Dict[str, Any]] = []
    for model in args.model or ['qwen2.5-coder-1.5b']:
        engine, persona, prompt_format = load_model(args.engine, model, args.threads,
                                                    args.prompt)
        try:
            head = Renderer(prompt_format)
            head.feed(Scene(specs, persona).user('Hello!').entries)
            engine.warm('main', head.text)
            verdicts = []
            for situation in chosen:
                verdicts.append(run_one(engine, situation, persona, prompt_format, specs,
                                        not args.unconstrained))
                if args.show or verdicts[-1].problem:
                    print(_line(verdicts[-1]), flush=True)
        finally:
            engine.close()
        mode = 'free' if args.unconstrained else 'constrained'
        rows += _report(model, mode, verdicts)
    return rows


def _line(v):
    return (f'{"X" if v.problem else " "} {v.situation.group:10}{v.situation.name:28}'
            f'{v.first_text_s:5.1f} s  {v.output!r}' + (f'   <- {v.problem}' if v.problem else ''))


def _report(model, mode, verdicts):
    rows = []
    print(f'\n{model}, {mode}, prompt of '
          f'{max((v.prompt_tokens for v in verdicts), default=0)} tokens')
    for group in [*dict.fromkeys(v.situation.group for v in verdicts), 'all']:
        of = [v for v in verdicts if group in (v.situation.group, 'all')]
        right = sum(not v.problem for v in of)
        first = statistics.median(v.first_text_s for v in of)
        new = statistics.median(v.new_tokens for v in of)
        print(f'  {group:12}{right:3} of {len(of):3} right   first sentence or call '
              f'{first:5.2f} s   {new:4.0f} new tokens')
        rows.append(single('situations', 'right_percent', group, f'{model} {mode}', '%', len(of),
                           100.0 * right / len(of)))
        rows.append(distribution('situations', 'first_output_s', group, f'{model} {mode}', 's',
                                 [v.first_text_s for v in of]))
    return rows


def main(argv=None) -> None:
    """Run it as a module, without the command line of the agent."""
    import argparse
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    run(parser.parse_args(argv))


if __name__ == '__main__':
    main()
