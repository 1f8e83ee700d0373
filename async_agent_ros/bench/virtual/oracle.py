"""
The bound: what an agent could reach that never loses a moment.

It knows each call of the plan as soon as its words are stable in the transcript, with the same ear,
the same speed of writing on one slot, and the same tools. Reads run when their line is written and
their operands are there; what changes the world waits for the final transcript. The lines are
written in the best of all orders. Computed, not simulated.
"""
from dataclasses import dataclass
import itertools
from typing import Dict, Tuple

from async_agent_ros.bench.virtual import planner
from async_agent_ros.bench.virtual.engine import tokens
from async_agent_ros.bench.virtual.person import Ear
from async_agent_ros.bench.workloads import Item, Workload
from async_agent_ros.core.chatml import Parser

ACCEPT_S = 0.005
"""From the order to the acceptance of a tool's goal."""


@dataclass(frozen=True)
class Bound:
    """Seconds from the true end of speech."""

    last_result_s: float
    first_word_s: float


def bound(workload: Workload, item: Item, ear: Ear, seed: int, decode_per_s: float) -> Bound:
    """Return the bound of one item."""
    ideal = workload.ideal(item, seed)
    end_s = item.ends_s[-1]
    final_s = ear.end_of_turn_s(item, seed)
    counted = workload.counted(item)

    def heard_s(words: int) -> float:
        return min(item.ends_s[words - 1] + ear.stable_s, final_s)

    write_s = {c.call_id: len(tokens(planner.call_line(c.call_id, c, c.arguments)))
               / decode_per_s for c in counted}
    takes_s = {c.call_id: ACCEPT_S if workload.moves(c) else ideal.durations_s[c.call_id]
               for c in counted}
    best = min(_schedule(workload, order, heard_s, write_s, takes_s, final_s)
               for order in itertools.permutations(counted))
    answer = planner.fill(item.answer, ideal.results)
    clause = Parser().feed(answer + '\n')[0].text
    clause_s = len(tokens(clause)) / decode_per_s
    ready_s = best[1] if item.tells else heard_s(item.complete)
    return Bound(best[0] - end_s, max(final_s, ready_s + clause_s) - end_s)


def _schedule(workload, order, heard_s, write_s, takes_s, final_s) -> Tuple[float, float]:
    """Return when the last result counts, and when it was there, for one order of writing."""
    free_s, written = 0.0, {}
    for call in order:
        free_s = max(free_s, heard_s(call.known)) + write_s[call.call_id]
        written[call.call_id] = free_s
    ends: Dict[str, float] = {}
    todo = list(order)
    while todo:
        for call in todo:
            needed = call.operands | set(call.after)
            if needed <= set(ends):
                start_s = max([written[call.call_id], *(ends[n] for n in needed)])
                if not workload.read_only(call):
                    start_s = max(start_s, final_s)
                ends[call.call_id] = start_s + takes_s[call.call_id]
                todo.remove(call)
                break
    return max([final_s, *ends.values()]), max(ends.values())
