"""
The agent's own tools: cancel, wait, the time, timers, and helpers (fork and spawn).

They run inside the kernel: no server, no dispatcher. All count as read-only, because none of them
changes the world; what a helper calls has gates of its own.
"""
import datetime
from typing import Any, Callable, Dict, List, Mapping, Optional

from async_agent_ros.core import calls, instances, schedule, spoken_time, turns
from async_agent_ros.core.ledger import MAIN
from async_agent_ros.core.state import Call, KernelState, NS_PER_S
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Effect, Error, Kind, Status


def _tool(name: str, description: str, properties: Mapping[str, Any], required=()) -> ToolSpec:
    return ToolSpec(name, description, {
        'type': 'object', 'properties': dict(properties), 'required': list(required),
        'additionalProperties': False}, effect=Effect.READ_ONLY)


CANCEL = _tool('cancel', 'Cancel a running call, timer or helper. Give its id, or the name of '
               'its tool.', {'call': {'type': 'string'}}, ['call'])
WAIT = _tool('wait', 'Wait until running calls have ended, and hear their results together.',
             {'calls': {'type': 'array', 'items': {'type': 'string'},
                        'description': 'ids or tool names; empty: all that run'},
              'timeout_s': {'type': 'number', 'exclusiveMinimum': 0}})
NOW = _tool('now', 'Tell the time and the date.', {})
SET_TIMER = _tool(
    'set_timer', 'Set a timer or reminder. Give one of after, at or every, as it was said.',
    {'after': {'type': 'string', 'format': 'time-span', 'description': 'time from now'},
     'at': {'type': 'string', 'format': 'time-of-day', 'description': 'time of day'},
     'every': {'type': 'string', 'format': 'time-span',
               'description': 'again and again until cancelled'},
     'text': {'type': 'string', 'description': 'what to remind of'}})
FORK = _tool('fork', 'Have a helper that knows this conversation do a task in the background.',
             {'task': {'type': 'string'}}, ['task'])
SPAWN = _tool('spawn', 'Have a helper that knows only its brief do a task in the background.',
              {'brief': {'type': 'string'},
               'tools': {'type': 'array', 'items': {'type': 'string'},
                         'description': 'the tools that it may use; none given: all'}}, ['brief'])

TOOLS: Dict[str, ToolSpec] = {t.name: t for t in (CANCEL, WAIT, NOW, SET_TIMER, FORK, SPAWN)}


def run(s: KernelState, call: Call) -> None:
    """Carry out a call of a built-in tool whose commit entry is written."""
    if call.spec in (FORK, SPAWN):
        instances.start(s, call)
    else:
        _RUN[call.spec.name](s, call)


def stop(s: KernelState, call: Call, reason: str) -> None:
    """End a running built-in call that was cancelled."""
    s.clear_timer(f'due:{call.call_id}')
    instances.end_of_call(s, call, Status.CANCELLED, reason)
    calls.finish(s, call, Status.CANCELLED, Error.CANCELLED, reason, quiet=True)


# -- cancel and wait ------------------------------------------------------------------------------
def _named(s: KernelState, call: Call, wanted: List[str]) -> List[Call]:
    # A helper has no say in what others run, its own call included.
    return [c for c in s.calls.values() if c is not call and c.spec is not WAIT
            and call.instance in (MAIN, c.instance)
            and (c.call_id in wanted or c.spec.name in wanted)]


def _cancel(s: KernelState, call: Call) -> None:
    wanted = call.arguments['call']
    targets = _named(s, call, [wanted])
    for target in targets:
        calls.cancel(s, target, f'cancelled by {call.call_id}')
    if targets:
        calls.finish(s, call, Status.SUCCEEDED,
                     result={'cancelling': [t.call_id for t in targets]})
        return
    running = ', '.join(schedule.describe(c) for c in s.calls.values() if c is not call) or 'none'
    calls.finish(s, call, Status.FAILED, Error.TOOL_FAILED,
                 f'no running call {wanted!r}; running calls: {running}')


def _wait(s: KernelState, call: Call) -> None:
    wanted = call.arguments.get('calls') or []
    mine = [c for c in s.calls.values() if c is not call and c.instance == call.instance]
    targets = _named(s, call, wanted) if wanted else [c for c in mine if c.spec is not WAIT]
    unknown = [w for w in wanted if w not in s.ended_calls
               and not any(w in (c.call_id, c.spec.name) for c in targets)]
    if unknown:
        calls.finish(s, call, Status.FAILED, Error.TOOL_FAILED,
                     f'no call {", ".join(map(repr, unknown))} to wait for')
        return
    call.targets = tuple(c.call_id for c in targets)
    if 'timeout_s' in call.arguments:
        s.set_timer(f'due:{call.call_id}', call.arguments['timeout_s'])
    end_waits(s)


def end_waits(s: KernelState) -> None:
    """End the waits whose calls have all ended; their results are told with them."""
    for call in [c for c in s.calls.values() if c.spec is WAIT and c.executing]:
        if not any(target in s.calls for target in call.targets):
            calls.finish(s, call, Status.SUCCEEDED, result={
                t: s.ended_calls.get(t, '') for t in call.targets})


def awaited(s: KernelState, instance: str) -> set:
    """Return the ids of the calls whose results wait for a `wait` of the instance to end."""
    return {t for c in s.calls.values() if c.spec is WAIT and c.executing
            and c.instance == instance for t in c.targets}


# -- the clock ------------------------------------------------------------------------------------
def _now(s: KernelState, call: Call) -> None:
    local = _local(s, s.now_ns)
    calls.finish(s, call, Status.SUCCEEDED, result={
        'time': local.strftime('%H:%M:%S'), 'date': local.strftime('%Y-%m-%d'),
        'weekday': local.strftime('%A')})


def _local(s: KernelState, stamp_ns: int) -> datetime.datetime:
    zone = datetime.timezone(datetime.timedelta(seconds=s.settings.utc_offset_s))
    return datetime.datetime.fromtimestamp(stamp_ns // NS_PER_S, zone)


def arm(s: KernelState, call: Call) -> None:
    """Set the timer of a `set_timer` call to its next time, also after a restart."""
    due = due_ns(s, call)
    if due is None:
        calls.finish(s, call, Status.FAILED, Error.INVALID_ARGUMENTS,
                     'give exactly one of after, at and every')
    else:
        s.set_timer(f'due:{call.call_id}', (due - s.now_ns) / NS_PER_S)


def due_ns(s: KernelState, call: Call) -> Optional[int]:
    """Return when a timer fires next; without drift, counted from its beginning."""
    given = [k for k in ('after', 'at', 'every') if k in call.arguments]
    if len(given) != 1:
        return None
    begin_ns, said = call.committed_ns, call.arguments[given[0]]
    if given == ['at']:
        time = spoken_time.time_of_day(said)
        return time and _next(_local(s, begin_ns), time)
    seconds = spoken_time.duration_s(said)
    if not seconds:
        return None
    span_ns = round(seconds * NS_PER_S)
    if given == ['after']:
        return begin_ns + span_ns
    return begin_ns + ((max(s.now_ns, begin_ns) - begin_ns) // span_ns + 1) * span_ns


def _next(begin: datetime.datetime, time: spoken_time.TimeOfDay) -> int:
    """Return when it is that time next: "at seven" is the next seven, morning or evening."""
    hours = (time.hour % 12, time.hour % 12 + 12) if time.either else (time.hour,)
    found = []
    for hour in hours:
        due = begin.replace(hour=hour, minute=time.minute, second=time.second, microsecond=0)
        found.append(due if due > begin else due + datetime.timedelta(days=1))
    return int(min(found).timestamp()) * NS_PER_S


def on_due(s: KernelState, call_id: str) -> None:
    """Take note that a timer has run out, or the patience of a wait."""
    call: Optional[Call] = s.calls.get(call_id)
    if call is None or not call.executing:
        s.ignore('timer of a call that has ended', call_id)
    elif call.spec is WAIT:
        still = [t for t in call.targets if t in s.calls]
        calls.finish(s, call, Status.FAILED, Error.TIMEOUT,
                     f'still running: {", ".join(still)}')
    elif 'every' in call.arguments:
        entry = s.append(Kind.NOTIFICATION, {'text': _reminder(call)}, name='timer',
                         call_id=call.call_id, instance=call.instance)
        turns.wait(s, entry.seq, 'timer', call.depth + 1, call.turns, instance=call.instance)
        arm(s, call)
    else:
        calls.finish(s, call, Status.SUCCEEDED, result={'time_is_up': _reminder(call)})


def _reminder(call: Call) -> str:
    return call.arguments.get('text') or 'the time is up'


_RUN: Dict[str, Callable[[KernelState, Call], None]] = {
    'cancel': _cancel, 'wait': _wait, 'now': _now, 'set_timer': arm}
