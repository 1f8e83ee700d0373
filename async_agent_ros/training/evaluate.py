"""
Evaluation: a base model, the base with constrained calls, and a tuned model on the same cases.

Each reads the prompt that it would read in the agent: the base one with rules and examples
(config/prompt.yaml), the tuned one as it was trained (config/prompt_tuned.yaml). Partial words are
an utterance to a base model, as in the mode `revise` of the kernel. `untrained` is the base with
the prompt of the tuned one: the difference is what was learned.
"""
from dataclasses import dataclass
import json
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from async_agent_ros.bench.common.rows import distribution, single
from async_agent_ros.bench.common.written import write
from async_agent_ros.core import operands
from async_agent_ros.core.built_in import TOOLS as BUILT_IN
from async_agent_ros.core.chatml import Parser, PromptFormat
from async_agent_ros.core.ledger import MAIN
from async_agent_ros.llm.engine import GenerationRequest
from async_agent_ros.training import faithful
from async_agent_ros.training.cases import Answer, Case, changes_world, comparable, running

MODES = ('base', 'constrained', 'untrained', 'tuned', 'tuned_constrained')
MOST_TOKENS = 200


@dataclass(frozen=True)
class Verdict:
    """What a model wrote in a case, and what of it is right; None: does not apply."""

    case: Case
    output: str
    valid: str
    """'' or what is not valid."""
    right: Optional[bool]
    safe: Optional[bool]
    faithful: Optional[str]
    """'' or what the ledger does not support."""
    first_s: float
    whole_s: float


def judge(case: Case, output: str, form: PromptFormat, stream: bool) -> Dict[str, Any]:
    """Return the verdict on an output, without its times."""
    answer = Answer.parse(output, form)
    standing = case.standing if stream else ()
    plan = answer.plan(standing)
    accepted = {i: c for i, c in plan.items() if not refused(c, case)}
    found = comparable(accepted, running(case))
    is_words = case.kind in ('words', 'final')
    text = answer.text if case.kind != 'partial' or not stream else ''
    unwanted = [c for c in found if c not in case.right[0] and changes_world(c[0], case.specs)
                and not any(c in right for right in case.right)]
    return {'valid': _invalid(answer, case, output),
            'right': found in case.right if case.kind != 'told' else None,
            'safe': not unwanted if is_words else None,
            'faithful': faithful.problem(text, case.entries, case.specs,
                                         json.dumps(list(accepted.values())))
            if text and case.kind != 'partial' else None}


def refused(call: Tuple[str, Any], case: Case) -> bool:
    """Tell whether the kernel refuses a call: the person is told then, and nothing happens."""
    return bool(_wrong(call, case))


def _wrong(call: Tuple[str, Any], case: Case) -> str:
    name, arguments = call
    spec = next((s for s in case.specs if s.name == name), BUILT_IN.get(name))
    if spec is None:
        return f'there is no tool {name}'
    if any(operands.find(arguments)):
        known = spec.arguments_schema.get('properties') or {}
        other = [k for k in arguments if k not in known]
        return f'{name} has no argument {other[0]}' if other else ''
    return spec.check_arguments(arguments) or ''


def _invalid(answer: Answer, case: Case, output: str) -> str:
    if answer.rejected:
        return answer.rejected
    for _, name, arguments in answer.calls:
        wrong = _wrong((name, arguments), case)
        if wrong:
            return wrong
    if not (answer.calls or answer.removed or answer.text or '<pause>' in output):
        return 'nothing was written'
    return ''


def run_case(engine, case: Case, form: PromptFormat, stream: bool, constrained: bool) -> Verdict:
    """Put a case to an engine."""
    reacts = stream and case.kind == 'partial'
    request = GenerationRequest(MAIN, case.prompt(form, stream), MOST_TOKENS,
                                tools=case.specs if constrained else (), reacts=reacts)
    written = write(engine, request, Parser(form, reacts=reacts))
    return Verdict(case, written.text, first_s=written.first_s, whole_s=written.whole_s,
                   **judge(case, written.text, form, stream))


def reads_as_trained(mode: str) -> bool:
    """Tell whether the prompt of a mode is that of the tuned model."""
    return mode.startswith(('tuned', 'untrained'))


def run_mode(engine, mode: str, cases: Sequence[Case], form: PromptFormat,
             done: Callable[[Verdict], None] = lambda verdict: None) -> List[Verdict]:
    """Put all cases to an engine in one mode."""
    verdicts = []
    for case in cases:
        verdicts.append(run_case(engine, case, form, reads_as_trained(mode),
                                 mode.endswith('constrained')))
        done(verdicts[-1])
    return verdicts


def rows(model: str, mode: str, verdicts: Sequence[Verdict]) -> List[Dict[str, Any]]:
    """Return the rows of a result file, per workload and for all."""
    made = []
    for workload in dict.fromkeys(v.case.workload for v in verdicts):
        of = [v for v in verdicts if v.case.workload == workload]
        whole = [v for v in of if v.case.kind in ('words', 'final')]
        made += [_share('valid_percent', workload, mode, [not v.valid for v in of], model),
                 _share('call_accuracy_percent', workload, mode, [v.right for v in whole], model),
                 _share('plan_accuracy_percent', workload, mode,
                        [v.right for v in of if v.case.kind == 'partial'], model),
                 _share('commit_safety_percent', workload, mode, [v.safe for v in whole], model),
                 _share('faithful_percent', workload, mode,
                        [not v.faithful for v in of if v.faithful is not None], model),
                 distribution('train', 'first_output_s', workload, mode, 's',
                              [v.first_s for v in of], model=model),
                 distribution('train', 'turn_s', workload, mode, 's', [v.whole_s for v in of],
                              model=model)]
    return [r for r in made if r]


def _share(metric, workload, mode, hits: Sequence[Any], model) -> Mapping[str, Any]:
    if not hits:
        return {}
    return single('train', metric, workload, mode, '%', len(hits),
                  100.0 * sum(map(bool, hits)) / len(hits), model=model)
