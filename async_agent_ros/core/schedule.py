"""When a call that is past its gate may start: its operands, the rate, what others hold."""
from typing import Any, List, Mapping

from async_agent_ros.core import calls, operands, speculation, stream
from async_agent_ros.core.ledger import DRAFT
from async_agent_ros.core.state import Call, KernelState, NS_PER_S
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Busy, Effect, Error, Kind, Phase, Status

RATE_WINDOW_S = 60


def clear(s: KernelState, call: Call) -> None:
    """Let a call start that has passed its gate, now or as soon as it can."""
    call.cleared = True
    advance(s, call)


def advance_waiting(s: KernelState) -> None:
    """Look again at the calls that wait, oldest first, when a call has ended."""
    while s.call_ended:
        s.call_ended = False
        for call in list(s.calls.values()):
            if call.phase == Phase.WAITING and call.call_id in s.calls:
                advance(s, call)


def advance(s: KernelState, call: Call) -> None:
    """Bring a cleared call as far as it gets: operands, the person's yes, rate, resources."""
    if call.joins:
        return
    if not call.resolved:
        missing = [o for o in operands.find(call.arguments) if o.call_id in s.calls]
        if missing:
            ids = ', '.join(dict.fromkeys(describe(s.calls[o.call_id]) for o in missing))
            hold(s, call, f'waits for the result of {ids}')
            return
        if not resolve(s, call):
            return
    if call.spec.effect == Effect.CONFIRM and not call.confirmed:
        calls.ask(s, call)
        return
    if speculation.take(s, call) or over_rate(s, call):
        return
    holders = holding(s, call)
    if holders:
        give_way(s, call, holders)
    else:
        calls.commit(s, call)


def hold(s: KernelState, call: Call, reason: str) -> None:
    """Have the call wait; the reason is written when it changes."""
    call.phase = Phase.WAITING
    if call.waits_for != reason:
        call.waits_for = call.text = reason
        s.append(Kind.NOTIFICATION, {'text': reason}, name='waiting', call_id=call.call_id,
                 instance=call.instance)


def describe(call: Call) -> str:
    """Return 'c3 (navigate_to)'."""
    return f'{call.call_id} ({call.spec.name})'


# -- operands -------------------------------------------------------------------------------------
def resolve(s: KernelState, call: Call) -> bool:
    """Put the results in; end the call by name when one is missing. Tell whether it lives."""
    def value(operand):
        status = s.ended_calls.get(operand.call_id)
        if status is None:
            raise operands.OperandError(f'there is no call {operand.call_id!r} for {operand}')
        entry = s.ledger[s.result_seqs[operand.call_id]]
        if status != Status.SUCCEEDED:
            why = entry.data.get('error_msg') or status
            raise operands.OperandError(
                f'it needs the result of {operand.call_id} ({entry.name}), which {status}: {why}')
        return operands.part(operand, entry.data.get('result'))

    try:
        arguments = operands.replace(call.arguments, value)
    except operands.OperandError as error:
        calls.finish(s, call, Status.FAILED, Error.OPERAND, str(error))
        return False
    call.with_operands = arguments != call.arguments
    call.arguments, call.resolved = arguments, True
    problem = call.spec.check_arguments(arguments)
    if problem:
        calls.finish(s, call, Status.FAILED, Error.INVALID_ARGUMENTS, problem)
    return not problem


def problem_of(s: KernelState, call_id: str, spec: ToolSpec, arguments: Mapping[str, Any]) -> str:
    """Return what is wrong with the arguments of a new call, '' if nothing is."""
    needed = list(operands.find(arguments))
    for operand in needed:
        if operand.call_id == call_id or depends(s, operand.call_id, call_id):
            return f'{operand} needs the result of this call itself'
        if operand.call_id not in s.calls and operand.call_id not in s.ended_calls:
            return f'{operand}: there is no call {operand.call_id!r}'
        if operand.call_id in stream.taken_back(s):
            return f'{operand}: {operand.call_id} was taken back'
    return '' if needed else spec.check_arguments(arguments) or ''


def depends(s: KernelState, call_id: str, on: str) -> bool:
    """Tell whether a call needs the result of another, directly or not."""
    todo, seen = [call_id], set()
    while todo:
        call = s.calls.get(todo.pop())
        if call is None or call.call_id in seen or call.resolved:
            continue
        seen.add(call.call_id)
        needed = {o.call_id for o in operands.find(call.arguments)}
        if on in needed:
            return True
        todo += sorted(needed)
    return False


# -- rate and resources ---------------------------------------------------------------------------
def over_rate(s: KernelState, call: Call) -> bool:
    """End a call that comes too soon after others of its tool; tell whether it did."""
    limit = call.spec.max_per_minute
    if limit <= 0.0:
        return False
    since_ns = s.now_ns - RATE_WINDOW_S * NS_PER_S
    recent = [t for t in s.executions.get(call.spec.name, ()) if t > since_ns]
    s.executions[call.spec.name] = recent
    most = max(1, int(limit))
    if len(recent) < most:
        return False
    again_s = (recent[-most] - since_ns) / NS_PER_S
    calls.finish(s, call, Status.FAILED, Error.RATE,
                 f'{call.spec.name} may run {limit:g} times a minute; again in {again_s:.0f} s')
    return True


def holding(s: KernelState, call: Call) -> List[Call]:
    """Return the calls that hold, or wait before it for, a resource that the call needs."""
    wanted = set(call.spec.resources)
    if not wanted:
        return []
    found = []
    for other in s.calls.values():
        if other is call:
            if call.phase == Phase.WAITING:
                break    # those behind it in the queue
            continue
        waits = other.phase == Phase.WAITING and other.resolved
        if (other.executing or waits) and wanted & set(other.spec.resources):
            found.append(other)
    # Behind it in the queue stand only calls that wait too, but one of them may run already.
    found += [c for c in s.calls.values() if c.executing and c is not call and c not in found
              and wanted & set(c.spec.resources)]
    return found


def give_way(s: KernelState, call: Call, holders: List[Call]) -> None:
    """Apply the call's policy for resources that others hold."""
    for other in [c for c in holders if c.instance == DRAFT]:
        calls.cancel(s, other, f'{call.call_id} needs what it holds')
        holders = [c for c in holders if c is not other or c.call_id in s.calls]
    names = ', '.join(sorted(set(call.spec.resources)
                             & {r for c in holders for r in c.spec.resources}))
    who = ', '.join(describe(c) for c in holders)
    if call.spec.when_busy == Busy.REFUSE and any(c.instance != DRAFT for c in holders):
        calls.finish(s, call, Status.FAILED, Error.BUSY,
                     f'{who} holds {names}; wait for its end or cancel it first')
        return
    hold(s, call, f'waits for {names}, which {who} holds')
    if call.spec.when_busy == Busy.REPLACE:
        for other in holders:
            if other.call_id in s.calls:
                calls.cancel(s, other, f'replaced by {call.call_id}')
