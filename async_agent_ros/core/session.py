"""Begin, resume and end of a session; what survives in the ledger and what is lost."""
from typing import Dict, List

from async_agent_ros.core import calls, effects, turns
from async_agent_ros.core.ledger import Entry, Ledger
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.state import Call, KernelState, Waiting
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Error, Kind, Phase, Scope, Status


def on_started(s: KernelState, event) -> None:
    """Open a new ledger, or go on with the one that an earlier life left."""
    fresh = KernelState(session=event.session, settings=Settings.from_json(event.settings),
                        ledger=s.ledger, now_ns=s.now_ns, out=s.out)
    s.__dict__.update(fresh.__dict__)
    s.running = True
    if len(s.ledger):
        recover(s)
        return
    if s.settings.system_text:
        s.append(Kind.SYSTEM, s.settings.system_text)
    calls.change_catalogue(s, 'agent', list(calls.BUILT_IN.values()), [])
    # The built-in tools are looked up in BUILT_IN: no server may take them away.
    s.catalogue.clear()
    s.server_of.clear()


def on_stopping(s: KernelState, event) -> None:
    """End everything in good order."""
    s.running = False
    s.epoch += 1
    s.emit(effects.Interrupt('stop', s.epoch, Scope.ALL, 'the agent stops'))
    for call in list(s.calls.values()):
        if call.call_id not in s.calls:
            continue
        executing = call.executing
        calls.cancel(s, call, 'the agent stops')
        if executing:
            calls.lose(s, call, 'the agent stopped before the call ended; it was asked to cancel')
    for answer in list(s.answers.values()):
        s.append(Kind.END, {'finish_reason': 'shutdown', 'context_seq': answer.context_seq},
                 status=str(Status.CANCELLED), generation_id=answer.generation_id)
    for turn in list(s.turns.values()):
        turn.error_code, turn.error_msg = turns.ERROR_SHUTDOWN, 'the agent was shut down'
        turns.end(s, turn)
    for part in (s.answers, s.segments, s.held, s.waiting, s.deferred, s.speaking, s.awaited):
        part.clear()
    s.active, s.cut, s.paused = None, None, False
    s.append(Kind.END, {'reason': 'shutdown'}, status=str(Status.SUCCEEDED))


def ended_in_order(ledger: Ledger) -> bool:
    """Tell whether the last life of this ledger was shut down in good order."""
    return bool(len(ledger)) and is_session_end(ledger[-1])


def is_session_end(entry: Entry) -> bool:
    """Tell whether the entry ends the main instance."""
    return entry.kind == Kind.END and entry.generation_id == 0


def on_storage_changed(s: KernelState, event) -> None:
    """Without a durable ledger nothing may change the world."""
    if event.writable == s.storage_ok:
        return
    s.storage_ok = event.writable
    s.append(Kind.NOTIFICATION, {'text': event.message}, name='error' if not event.writable
             else 'note')


def recover(s: KernelState) -> None:
    """Rebuild what the ledger tells; end what died; find what may still run."""
    open_calls = fold(s)
    s.epoch += 1
    s.emit(effects.Interrupt('stop', s.epoch, Scope.SPEECH, 'the manager was restarted'))
    s.append(Kind.NOTIFICATION, {'text': 'the manager was restarted'}, name='note')
    for generation_id in open_generations(s):
        s.append(Kind.END, {'finish_reason': 'lost', 'context_seq': 0},
                 status=str(Status.LOST), generation_id=generation_id)
    for call in open_calls:
        s.calls[call.call_id] = call
        if call.commit_seq < 0:
            calls.cancel(s, call, 'the manager was restarted before it was committed')
        elif call.spec.name in calls.BUILT_IN:
            calls.finish(s, call, Status.FAILED, Error.UNKNOWN, 'the manager was restarted')
        else:
            call.found = False
            s.emit(effects.FindCall(call.call_id, call.instance, call.spec,
                                    call.commit_seq))
            s.set_timer(f'find:{call.call_id}', s.settings.find_timeout_s)
    s.waiting = unanswered(s)


def open_generations(s: KernelState) -> List[int]:
    """Return the generations that wrote something and have no end."""
    seen = {e.generation_id for e in s.ledger if e.generation_id}
    ended = {e.generation_id for e in s.ledger if e.kind == Kind.END}
    return sorted(seen - ended)


def fold(s: KernelState) -> List[Call]:
    """Fold the ledger into catalogue, counters and the calls without a terminal record."""
    opened: Dict[str, Call] = {}
    for entry in s.ledger:
        s.epoch = max(s.epoch, entry.epoch)
        s.next_generation = max(s.next_generation, entry.generation_id + 1)
        if entry.kind == Kind.SYSTEM and entry.name == 'tools':
            apply_catalogue(s, entry)
        elif entry.kind == Kind.CALL:
            spec = calls.BUILT_IN.get(entry.name) or s.catalogue.get(entry.name)
            opened[entry.call_id] = Call(
                entry.call_id, spec or ToolSpec('unknown'), entry.data['arguments'],
                entry.instance, Phase.PENDING, entry.stamp_ns, entry.seq, entry.generation_id)
        elif entry.kind == Kind.COMMIT:
            call = opened[entry.call_id]
            call.phase, call.commit_seq = Phase.COMMITTED, entry.seq
            call.committed_ns = entry.stamp_ns
        elif entry.kind == Kind.RETRACT and opened[entry.call_id].executing:
            opened[entry.call_id].cancel_asked = True
            opened[entry.call_id].phase = Phase.CANCELLING
        elif entry.kind == Kind.RESULT:
            opened.pop(entry.call_id, None)
            s.ended_calls[entry.call_id] = entry.status
    # Segment ids must not repeat those of an earlier life: the sink may still report on them.
    s.next_segment = (s.ledger.next_seq << 16) + 1
    return list(opened.values())


def apply_catalogue(s: KernelState, entry: Entry) -> None:
    """Apply one change of the catalogue as the ledger tells it."""
    change = entry.data
    for name in change['removed']:
        s.catalogue.pop(name, None)
        s.server_of.pop(name, None)
    for value in change['added']:
        if value['name'] not in calls.BUILT_IN:
            s.catalogue[value['name']] = ToolSpec.from_json(value)
            s.server_of[value['name']] = change['server']


def unanswered(s: KernelState) -> List[Waiting]:
    """Return what no generation has answered: words not attempted, results not told."""
    attempted = told = 0
    for entry in s.ledger:
        if entry.kind == Kind.END and entry.generation_id:
            reach = entry.data.get('context_seq', 0)
            if entry.status == Status.SUCCEEDED:
                told = max(told, reach)
            if entry.status in (Status.SUCCEEDED, Status.CANCELLED):
                attempted = max(attempted, reach)
    waiting = []
    for entry in s.ledger[min(attempted, told):]:
        if entry.kind == Kind.USER and entry.seq >= attempted:
            waiting.append(Waiting(entry.seq, entry.name, s.now_ns))
        elif entry.seq >= told and (
                (entry.kind == Kind.RESULT and not is_quiet(s, entry))
                or (entry.kind == Kind.NOTIFICATION and entry.name == 'rejected_output')):
            waiting.append(Waiting(entry.seq, 'result' if entry.kind == Kind.RESULT
                                   else 'notification', s.now_ns, depth=1))
    return waiting


def is_quiet(s: KernelState, entry: Entry) -> bool:
    """Tell whether a result needs no word: it was called off as asked."""
    return entry.status == Status.RETRACTED or (
        entry.status == Status.CANCELLED and any(
            e.kind == Kind.RETRACT and e.call_id == entry.call_id
            for e in s.ledger[entry.about_seq:entry.seq]))
