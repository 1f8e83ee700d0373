"""What an outcome is worth: whether the right things happened, and how long that took."""
from dataclasses import dataclass
import re
from typing import Optional

from async_agent_ros.bench.virtual.conversation import Outcome
from async_agent_ros.bench.virtual.oracle import Bound
from async_agent_ros.bench.workloads import Ideal, Item, Workload
from async_agent_ros.core.tools import canonical_json

_WORD = re.compile(r'[\w@]+')
_JOINING = frozenset('a an the is are in on of and with'.split())
"""Words that tell nothing: a model may join the others in its own way."""


@dataclass(frozen=True)
class Figures:
    """One item in one mode; seconds from the true end of speech, None where it never came."""

    item: str
    last_result_s: Optional[float]
    first_word_s: Optional[float]
    problem: str = ''
    """What is wrong with what happened, '' when it is what the plan wants."""
    early: int = 0
    hits: int = 0
    leads_s: tuple = ()
    wasted_tool_s: float = 0.0
    unsafe: int = 0
    deeds: int = 0
    tokens: int = 0
    draft_tokens: int = 0

    @property
    def right(self) -> bool:
        """Tell whether exactly the plan was carried out."""
        return not self.problem


def figures(workload: Workload, item: Item, ideal: Ideal, outcome: Outcome) -> Figures:
    """Judge a conversation from what was seen of it from the outside."""
    early = [e for e in outcome.executions if e.early]
    return Figures(
        item.name, _last_result_s(workload, item, ideal, outcome), _first_word_s(outcome),
        problem(workload, item, ideal, outcome),
        len(early), sum(e.used for e in early),
        tuple(outcome.final_s - e.start_s for e in early if e.used),
        sum(e.seconds for e in outcome.executions if not e.used), outcome.unsafe,
        sum(not e.read_only for e in outcome.executions), outcome.tokens, outcome.draft_tokens)


def of_bound(item: Item, bound: Bound) -> Figures:
    """Return the oracle's figures."""
    return Figures(item.name, bound.last_result_s, bound.first_word_s)


def problem(workload: Workload, item: Item, ideal: Ideal, outcome: Outcome) -> str:
    """Return what differs from the plan, '' if nothing does."""
    if outcome.stuck:
        return 'it never ended'
    wanted = ideal.executed(item)
    read_only = {c.tool: workload.read_only(c) for c in item.calls}
    deeds = sorted(e.key for e in outcome.executions if not e.read_only)
    if deeds != [key for key in wanted if not read_only[key[0]]]:
        return f'executed: {deeds}'
    results = set(outcome.results_s)
    if results != set(wanted):
        return f'results of {sorted(results)}'
    if outcome.state != ideal.state:
        return f'in the end: {outcome.state}'
    if not told(item.expect, outcome.answer):
        return f'it said: {outcome.answer}'
    return ''


def told(expected: str, answer: str) -> bool:
    """Tell whether an answer holds every word that tells something."""
    wanted = set(_WORD.findall(expected.lower())) - _JOINING
    return wanted <= set(_WORD.findall(answer.lower()))


def _last_result_s(workload, item, ideal, outcome) -> Optional[float]:
    last_s = outcome.final_s
    for call in workload.counted(item):
        key = call.tool, canonical_json(ideal.arguments[call.call_id])
        times = outcome.accepted_s if workload.moves(call) else outcome.results_s
        if key not in times:
            return None
        last_s = max(last_s, times[key])
    return last_s - outcome.speech_end_s


def _first_word_s(outcome: Outcome) -> Optional[float]:
    said = [at_s for at_s, text in outcome.said if text.strip()]
    return min(said) - outcome.speech_end_s if said else None
