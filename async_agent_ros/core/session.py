"""Begin, resume and end of a session; what survives in the ledger and what is lost."""
from typing import Dict, List, Tuple

from async_agent_ros.core import built_in, calls, catalogue, drafts, effects, instances, turns
from async_agent_ros.core.ledger import DRAFT, Entry, Ledger, MAIN
from async_agent_ros.core.settings import Settings
from async_agent_ros.core.state import Call, Instance, KernelState, Waiting
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
    catalogue.change(s, 'agent', list(built_in.TOOLS.values()), [])
    # The built-in tools are looked up in built_in.TOOLS: no server may take them away.
    s.catalogue.clear()
    s.server_of.clear()


def on_settings_changed(s: KernelState, event) -> None:
    """Go on under other settings; what is assumed just now was assumed under the old ones."""
    s.settings = Settings.from_json(event.settings)
    s.assumption = None


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
        if executing and call.call_id in s.calls:
            calls.lose(s, call, 'the agent stopped before the call ended; it was asked to cancel')
    drafts.abandon(s, 'the agent stops')
    for answer in list(s.answers.values()):
        s.append(Kind.END, {'finish_reason': 'shutdown', 'context_seq': answer.context_seq},
                 status=str(Status.CANCELLED), generation_id=answer.generation_id,
                 instance=answer.instance)
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
    return entry.kind == Kind.END and entry.generation_id == 0 and entry.instance == MAIN


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
    for generation_id, instance in open_generations(s):
        s.append(Kind.END, {'finish_reason': 'lost', 'context_seq': 0},
                 status=str(Status.LOST), generation_id=generation_id, instance=instance)
    for call in open_calls:
        s.calls[call.call_id] = call
    for one in reversed(list(s.instances.values())):
        instances.end(s, one, Status.LOST, 'the manager was restarted')
    for call in open_calls:
        if call.call_id not in s.calls:
            continue
        if call.instance == DRAFT:
            s.emit(effects.CancelCall(call.call_id, call.commit_seq))
            calls.finish(s, call, Status.LOST, Error.LOST, 'the manager was restarted')
        elif call.commit_seq < 0:
            give_up(s, call)
        elif call.spec is built_in.SET_TIMER:
            built_in.arm(s, call)
        elif call.built_in:
            calls.finish(s, call, Status.FAILED, Error.UNKNOWN, 'the manager was restarted')
        else:
            call.found = False
            s.emit(effects.FindCall(call.call_id, call.instance, call.spec,
                                    call.commit_seq))
            s.set_timer(f'find:{call.call_id}', s.settings.find_timeout_s)
    s.waiting = unanswered(s)


def give_up(s: KernelState, call: Call) -> None:
    """End a call that never started; one that was promised to the person is owed to him."""
    ended = any(e.kind == Kind.END and e.generation_id == call.generation_id
                and e.status == Status.SUCCEEDED for e in s.ledger[call.call_seq:])
    if not ended:
        calls.cancel(s, call, 'the manager was restarted before it was committed')
        return
    reason = 'the manager was restarted before it could start'
    s.append(Kind.RETRACT, {'reason': reason}, call_id=call.call_id, about_seq=call.call_seq,
             instance=call.instance)
    calls.finish(s, call, Status.RETRACTED, Error.UNKNOWN, reason)


def open_generations(s: KernelState) -> List[Tuple[int, str]]:
    """Return the generations that wrote something and have no end, and whose they are."""
    seen = {e.generation_id: e.instance for e in s.ledger if e.generation_id}
    ended = {e.generation_id for e in s.ledger if e.kind == Kind.END}
    return sorted((g, instance) for g, instance in seen.items() if g not in ended)


def fold(s: KernelState) -> List[Call]:
    """Fold the ledger into catalogue, counters and the calls without a terminal record."""
    opened: Dict[str, Call] = {}
    for entry in s.ledger:
        s.epoch = max(s.epoch, entry.epoch)
        s.next_generation = max(s.next_generation, entry.generation_id + 1)
        if entry.kind == Kind.SYSTEM and entry.name == 'tools':
            apply_catalogue(s, entry)
        elif entry.kind == Kind.CALL:
            spec = built_in.TOOLS.get(entry.name) or s.catalogue.get(entry.name)
            opened[entry.call_id] = Call(
                entry.call_id, spec or ToolSpec('unknown'), entry.data['arguments'],
                entry.instance, Phase.PENDING, entry.stamp_ns, entry.seq, entry.generation_id,
                built_in=entry.name in built_in.TOOLS)
        elif entry.kind == Kind.COMMIT:
            call = opened[entry.call_id]
            call.phase, call.commit_seq = Phase.COMMITTED, entry.seq
            call.committed_ns = entry.stamp_ns
            call.arguments = entry.data.get('arguments', call.arguments)
            call.resolved = True
            if call.spec.max_per_minute > 0.0:
                s.executions.setdefault(call.spec.name, []).append(entry.stamp_ns)
        elif (entry.kind == Kind.RETRACT and entry.call_id in opened
              and opened[entry.call_id].executing):
            opened[entry.call_id].cancel_asked = True
            opened[entry.call_id].phase = Phase.CANCELLING
        elif entry.kind == Kind.RESULT:
            opened.pop(entry.call_id, None)
            s.ended_calls[entry.call_id] = entry.status
            s.result_seqs[entry.call_id] = entry.seq
        elif entry.kind in (Kind.FORK, Kind.SPAWN):
            data = entry.data
            parent = s.instances.get(data['parent'])
            s.instances[entry.instance] = Instance(
                entry.instance, data['parent'], entry.call_id, parent.depth + 1 if parent else 1)
            s.next_instance += 1
        elif entry.kind == Kind.END and entry.generation_id == 0:
            s.instances.pop(entry.instance, None)
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
        if value['name'] not in built_in.TOOLS:
            s.catalogue[value['name']] = ToolSpec.from_json(value)
            s.server_of[value['name']] = change['server']


def unanswered(s: KernelState) -> List[Waiting]:
    """Return what no generation has answered: words not attempted, results not told."""
    attempted = told = 0
    for entry in s.ledger:
        if entry.kind == Kind.END and entry.generation_id and entry.instance == MAIN:
            reach = entry.data.get('context_seq', 0)
            if entry.status == Status.SUCCEEDED:
                told = max(told, reach)
            if entry.status in (Status.SUCCEEDED, Status.CANCELLED):
                attempted = max(attempted, reach)
    waiting = []
    for entry in s.ledger[min(attempted, told):]:
        if entry.instance != MAIN:
            continue    # helpers died with the manager
        if entry.kind == Kind.USER and entry.seq >= attempted:
            waiting.append(Waiting(entry.seq, entry.name, s.now_ns))
        elif entry.seq >= told and (
                (entry.kind == Kind.RESULT and not is_quiet(s, entry))
                or (entry.kind == Kind.NOTIFICATION and entry.name == 'rejected_output')):
            waiting.append(Waiting(entry.seq, 'result' if entry.kind == Kind.RESULT
                                   else 'notification', s.now_ns, depth=1))
    return waiting


def is_quiet(s: KernelState, entry: Entry) -> bool:
    """Tell whether a result needs no word: it was called off as asked, or withdrawn later."""
    if any(e.kind == Kind.RETRACT and e.call_id == entry.call_id for e in s.ledger[entry.seq:]):
        return True
    return entry.data.get('error_code') == Error.CANCELLED and (
        entry.status == Status.RETRACTED or any(
            e.kind == Kind.RETRACT and e.call_id == entry.call_id
            for e in s.ledger[entry.about_seq:entry.seq]))
