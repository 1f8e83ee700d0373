"""The life of a call: proposal, commit gate, execution, cancellation, exactly one end."""
from typing import AbstractSet, Any, FrozenSet, Optional

from async_agent_ros.core import answers, built_in, effects, instances, operands, schedule
from async_agent_ros.core import speculation, turns
from async_agent_ros.core.ledger import DRAFT, MAIN
from async_agent_ros.core.state import Answer, Call, KernelState, NS_PER_S
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Duplicates, Effect, Error, Kind, Phase, Scope, Status

MOST_ACTION_CHARS = 60
"""A longer call is acknowledged by the name of its tool alone."""


# -- proposal -------------------------------------------------------------------------------------
def on_call_generated(s: KernelState, event) -> None:
    """Write the call; run it at once, hold it for its commit point, or end it by name."""
    answer = answers.current(s, event)
    if not answer:
        return
    answers.flush(s, answer)
    answer.calls += 1
    call_id = event.call_id
    if call_id in s.calls and s.calls[call_id].phase == Phase.PENDING:
        del s.calls[call_id]     # an edit: the new entry is about the same id
    elif not call_id or call_id in s.calls or call_id in s.ended_calls:
        call_id = fresh_id(s)
    arguments = operands.replace(event.arguments, lambda o: str(operands.Operand(
        answer.ids.get(o.call_id, o.call_id), o.path)))
    answer.ids.setdefault(event.name, call_id)
    if event.call_id:
        answer.ids[event.call_id] = call_id
    spec = built_in.TOOLS.get(event.name) or s.catalogue.get(event.name) or None
    entry = s.append(Kind.CALL, {'arguments': arguments}, call_id=call_id, name=event.name,
                     generation_id=answer.generation_id, instance=answer.instance)
    call = Call(call_id, spec or ToolSpec('unknown'), arguments, answer.instance,
                Phase.PENDING, s.now_ns, entry.seq, answer.generation_id,
                depth=answer.depth, turns=answer.turns,
                built_in=event.name in built_in.TOOLS)
    s.calls[call_id] = call
    if spec is None or not instances.may_call(s, call.instance, spec.name):
        known = ', '.join(n for n in sorted([*s.catalogue, *built_in.TOOLS])
                          if instances.may_call(s, call.instance, n)) or 'none'
        finish(s, call, Status.FAILED, Error.UNKNOWN_TOOL,
               f'there is no tool {event.name!r}; the tools are: {known}')
        return
    call.resolved = not any(operands.find(arguments))
    problem = schedule.problem_of(s, call_id, spec, arguments)
    if problem:
        finish(s, call, Status.FAILED, Error.INVALID_ARGUMENTS, problem)
    elif answer.partial:
        if speculation.may_run_early(s, spec):
            schedule.clear(s, call)
    elif not s.storage_ok and spec.effect != Effect.READ_ONLY:
        finish(s, call, Status.FAILED, Error.LEDGER_UNAVAILABLE,
               'the ledger cannot be written to disk, so nothing may change the world')
    elif not duplicate(s, call):
        if spec.effect == Effect.READ_ONLY:
            schedule.clear(s, call)


def fresh_id(s: KernelState) -> str:
    """Return the next unused id of the form c<number>."""
    while f'c{s.next_call}' in s.calls or f'c{s.next_call}' in s.ended_calls:
        s.next_call += 1
    return f'c{s.next_call}'


def duplicate(s: KernelState, call: Call) -> bool:
    """Apply the duplicate policy; tell whether the call ended by it."""
    policy = call.spec.duplicate_policy
    twin = next((c for c in s.calls.values() if c is not call and c.canonical == call.canonical
                 and c.phase != Phase.CANCELLING and c.instance != DRAFT), None)
    if twin is None or policy == Duplicates.ALLOW:
        return False
    if policy == Duplicates.REPLACE:
        cancel(s, twin, f'replaced by {call.call_id}')
        return False
    if policy == Duplicates.JOIN:
        twin.joined = (*twin.joined, call.call_id)
        call.joins = twin.call_id
        return True
    finish(s, call, Status.FAILED, Error.DUPLICATE,
           f'{twin.call_id} is the same call and still {twin.phase}; '
           'do not call it again, wait for its result')
    return True


# -- the gate -------------------------------------------------------------------------------------
def commit_pending(s: KernelState, answer: Answer) -> None:
    """Pass the commit point of a generation: the words were final, the model has finished."""
    owes = not answer.has_text and any(w.is_person for w in answer.waiting)
    commit_proposed(s, proposals(s, answer.generation_id), answer.generation_id,
                    answer if owes else None)


def commit_proposed(s: KernelState, generations: AbstractSet[int], final: int = 0,
                    silent: Optional[Answer] = None, ask: bool = True) -> None:
    """
    Let the calls of generations start that have waited for their commit point.

    `final`: the one whose calls were checked for duplicates when they were written; `silent`: its
    answer where that said nothing, so that the start of a long call is worth a word; `ask`: the
    person may be asked for a yes now.
    """
    for call in list(s.calls.values()):
        if call.generation_id not in generations or call.call_id not in s.calls:
            continue
        if call.built_in and call.executing:
            accept_built_in(s, call, silent is not None)
        elif call.phase == Phase.PENDING and not call.joins and (
                ask or call.spec.effect != Effect.CONFIRM):
            call.silent = silent if call.spec.effect != Effect.READ_ONLY else None
            if call.generation_id == final or not duplicate(s, call):
                schedule.clear(s, call)


def proposals(s: KernelState, generation_id: int) -> FrozenSet[int]:
    """Return the generations whose calls pass the commit point with this one's."""
    if s.stream is not None and s.stream.answer == generation_id:
        return frozenset({generation_id, *s.stream.generations})
    return frozenset({generation_id})


def accept_built_in(s: KernelState, call: Call, silent: bool) -> None:
    """Note that a timer or helper runs now; it is worth a word when the answer was silent."""
    call.phase = Phase.RUNNING
    entry = s.append(Kind.NOTIFICATION, {'progress': call.progress, 'text': 'accepted'},
                     name='accepted', call_id=call.call_id, instance=call.instance)
    if silent and call.spec is not built_in.WAIT:
        turns.wait(s, entry.seq, 'accepted', call.depth + 1, call.turns, instance=call.instance)


def ask(s: KernelState, call: Call) -> None:
    """Ask the person for a yes."""
    call.phase = Phase.CONFIRMING
    question = s.settings.confirm_question.format(action=in_words(call))
    s.append(Kind.NOTIFICATION, {'text': question}, name='confirm', call_id=call.call_id,
             instance=call.instance)
    answers.speak_line(s, question, interruptible=False)
    s.set_timer(f'confirm:{call.call_id}', s.settings.confirm_timeout_s)


def in_words(call: Call, most_chars: int = 0) -> str:
    """Return the call as it can be said; nested or above `most_chars` (if given) the tool alone."""
    name = call.spec.name.replace('_', ' ')
    text = f'{name} {", ".join(str(v) for v in call.arguments.values())}'.strip()
    nested = any(isinstance(v, (list, dict)) for v in call.arguments.values())
    return name if most_chars and (nested or len(text) > most_chars) else text


def settle_confirmation(s: KernelState, verdict: str) -> None:
    """Commit on yes, end on no; anything else leaves the question open until its timeout."""
    for call in list(s.calls.values()):
        if call.phase != Phase.CONFIRMING or not verdict:
            continue
        s.clear_timer(f'confirm:{call.call_id}')
        if verdict == 'yes':
            call.confirmed = True
            schedule.advance(s, call)
        else:
            refuse(s, call, 'the person said no')


def refuse(s: KernelState, call: Call, reason: str) -> None:
    """End a call that was not confirmed."""
    s.append(Kind.RETRACT, {'reason': reason}, call_id=call.call_id, about_seq=call.call_seq,
             instance=call.instance)
    finish(s, call, Status.RETRACTED, Error.NOT_CONFIRMED, reason)


def on_confirm_timer(s: KernelState, call_id: str) -> None:
    """Take silence for a no."""
    call = s.calls.get(call_id)
    if call and call.phase == Phase.CONFIRMING:
        refuse(s, call, 'the person did not say yes in time')


def commit(s: KernelState, call: Call) -> None:
    """Make the call runnable in the ledger, then have it executed."""
    if not s.storage_ok and call.spec.effect != Effect.READ_ONLY:
        finish(s, call, Status.FAILED, Error.LEDGER_UNAVAILABLE,
               'the ledger cannot be written to disk, so nothing may change the world')
        return
    entry = s.append(Kind.COMMIT, {'arguments': call.arguments} if call.with_operands else {},
                     call_id=call.call_id, name=call.spec.name, about_seq=call.call_seq,
                     generation_id=call.generation_id, instance=call.instance)
    call.commit_seq, call.committed_ns, call.phase = entry.seq, s.now_ns, Phase.COMMITTED
    call.text = ''
    planned = s.plan.calls.get(call.call_id) if s.plan else None
    if planned is not None and not planned.early and (
            call.instance == DRAFT or (s.stream and not (s.stream.final or s.stream.settled))):
        s.plan.started(planned, call.arguments, s.now_ns)
    if call.spec.max_per_minute > 0.0:
        s.executions.setdefault(call.spec.name, []).append(s.now_ns)
    if call.built_in:
        built_in.run(s, call)
        return
    s.emit(effects.Execute(call.call_id, call.instance, call.spec, call.arguments, entry.seq))
    if call.spec.timeout_s > 0.0:
        s.set_timer(f'timeout:{call.call_id}', call.spec.timeout_s + s.settings.timeout_grace_s)


# -- withdrawal -----------------------------------------------------------------------------------
def on_call_removed(s: KernelState, event) -> None:
    """Withdraw a call at the model's word."""
    if not answers.current(s, event):
        return
    call = s.calls.get(event.call_id)
    if call is None:
        s.ignore('removal of an unknown or ended call', event.call_id)
        return
    cancel(s, call, 'removed by the model', generation_id=event.generation_id)


def cancel(s: KernelState, call: Call, reason: str, *, generation_id: int = 0) -> None:
    """
    Retract a call that has not run; ask a running one to stop. Idempotent.

    `generation_id`: the generation that withdrew it in so many words.
    """
    if call.cancel_asked:
        return
    entry = s.append(Kind.RETRACT, {'reason': reason}, call_id=call.call_id,
                     about_seq=call.call_seq, instance=call.instance,
                     generation_id=generation_id)
    if call.built_in and call.executing:
        built_in.stop(s, call, reason)
        return
    if not call.executing:
        s.clear_timer(f'confirm:{call.call_id}')
        finish(s, call, Status.RETRACTED, Error.CANCELLED, reason, quiet=True)
        return
    call.cancel_asked = True
    call.phase = Phase.CANCELLING
    s.emit(effects.CancelCall(call.call_id, entry.seq))


def on_cancel_requested(s: KernelState, event) -> None:
    """Somebody pressed the button of one call: stop it, without words to answer."""
    call = s.calls.get(event.call_id)
    if call is None:
        s.ignore('cancel of a call that does not run', event.call_id)
        return
    cancel(s, call, event.reason or 'request')


def retract_pending(s: KernelState, generation_id: int, reason: str) -> None:
    """Withdraw what an aborted generation proposed and never committed."""
    proposed = proposals(s, generation_id)
    for call in list(s.calls.values()):
        if call.generation_id in proposed and call.phase == Phase.PENDING:
            cancel(s, call, reason)
    if generation_id in proposed and len(proposed) > 1:
        s.stream = None


def stopped_by_word(s: KernelState, call: Call) -> bool:
    """Tell whether an order to stand still cancels the call."""
    named = s.settings.stop_word_tools
    return call.spec.name in named if named else call.spec.motion


def cancel_for_interrupt(s: KernelState, scope: Scope, reason: str) -> None:
    """Cancel what the scope of an interruption, or the tool's own policy, asks for."""
    for call in list(s.calls.values()):
        if call.call_id in s.calls and (
                scope == Scope.ALL or (scope == Scope.MOTION and stopped_by_word(s, call))
                or call.spec.cancel_on_barge_in):
            cancel(s, call, reason)


# -- execution ------------------------------------------------------------------------------------
def on_call_accepted(s: KernelState, event) -> None:
    """Note that the server took the goal; say so when the answer was silent."""
    call = s.calls.get(event.call_id)
    if call is not None and not call.found:
        call.found = True
        s.clear_timer(f'find:{call.call_id}')
        if call.cancel_asked:
            s.emit(effects.CancelCall(call.call_id, call.commit_seq))
    if call is None or call.phase != Phase.COMMITTED or call.built_in:
        s.ignore('acceptance of a call that does not wait for it', event.call_id)
        return
    call.phase = Phase.RUNNING
    entry = s.append(Kind.NOTIFICATION, {'progress': call.progress, 'text': 'accepted'},
                     name='accepted', call_id=call.call_id, instance=call.instance)
    if call.silent and s.settings.acknowledgement and call.instance == MAIN:
        line = s.settings.acknowledgement.replace('{action}', in_words(call, MOST_ACTION_CHARS))
        answers.speak_line(s, line, instead_of=call.silent)
    elif call.silent:
        turns.wait(s, entry.seq, 'accepted', call.depth + 1, call.turns,
                   instance=call.instance)


def on_call_progressed(s: KernelState, event) -> None:
    """Keep the latest feedback; write it at most once per period."""
    call = s.calls.get(event.call_id)
    if call is None or not call.executing or call.built_in:
        s.ignore('feedback of a call that does not run', event.call_id)
        return
    call.found = True
    call.progress, call.text = event.progress, event.text
    s.changed = True
    if s.now_ns - call.progress_ns >= s.settings.progress_period_s * NS_PER_S:
        call.progress_ns = s.now_ns
        s.append(Kind.NOTIFICATION, {'progress': round(event.progress, 3), 'text': event.text},
                 name='progress', call_id=call.call_id, instance=call.instance)


def on_call_ended(s: KernelState, event) -> None:
    """Write the result, whatever the phase: the server's terminal status wins."""
    call = s.calls.get(event.call_id)
    if call is None or not call.executing or call.built_in:
        s.ignore('end of a call that does not run', event.call_id)
        return
    try:
        status = Status(event.status)
    except ValueError:
        status = Status.FAILED
    quiet = status == Status.CANCELLED and call.cancel_asked
    finish(s, call, status, event.error_code, event.error_msg, event.result, quiet=quiet)


def finish(s: KernelState, call: Call, status: Status, error_code: int = Error.NONE,
           error_msg: str = '', result: Any = None, *, quiet: bool = False,
           taken_from: str = '') -> None:
    """
    Write the one terminal record of a call; unless quiet, it is owed to the person.

    `taken_from`: the early call whose result it is.
    """
    del s.calls[call.call_id]
    s.ended_calls[call.call_id] = str(status)
    s.call_ended = True
    if call.spec.timeout_s > 0.0 and call.commit_seq >= 0:
        s.clear_timer(f'timeout:{call.call_id}')
    s.waiting = [w for w in s.waiting if not (
        w.trigger == 'accepted' and s.ledger[w.seq].call_id == call.call_id)]
    since_ns = call.committed_ns or call.since_ns
    content = {'error_code': error_code, 'error_msg': error_msg, 'result': result,
               'elapsed_s': round((s.now_ns - since_ns) / NS_PER_S, 3)}
    if taken_from:
        content['taken_from'] = taken_from
    entry = s.append(
        Kind.RESULT, content, call_id=call.call_id, name=s.ledger[call.call_seq].name,
        about_seq=call.call_seq, status=str(status), generation_id=0, instance=call.instance)
    s.result_seqs[call.call_id] = entry.seq
    if not quiet:
        turns.wait(s, entry.seq, 'result', call.depth + 1, call.turns, instance=call.instance)
    for call_id in call.joined:
        if call_id not in s.calls:
            continue
        if call.instance != DRAFT:
            finish(s, s.calls[call_id], status, error_code, error_msg, result, quiet=quiet)
        elif status == Status.SUCCEEDED:
            finish(s, s.calls[call_id], status, result=result, taken_from=call.call_id)
        else:
            # An early read that failed proves nothing: the turn's own call is made now.
            s.calls[call_id].joins = ''


def on_find_timer(s: KernelState, call_id: str) -> None:
    """Give up on a call of an earlier life that nobody has answered for."""
    call = s.calls.get(call_id)
    if call and not call.found:
        lose(s, call, 'the manager was restarted and nobody knows how the call ended')


def on_timeout_timer(s: KernelState, call_id: str) -> None:
    """Give up on a call that its executor should have ended at its timeout, and did not."""
    call = s.calls.get(call_id)
    if call and call.executing:
        lose(s, call, f'no end of it came within {call.spec.timeout_s:g} s')


def lose(s: KernelState, call: Call, reason: str) -> None:
    """End a call whose fate nobody can tell."""
    finish(s, call, Status.LOST, Error.LOST, reason)


def lose_all(s: KernelState, reason: str) -> None:
    """End every call at the dispatcher as lost."""
    for call in list(s.calls.values()):
        if call.call_id in s.calls and call.executing and not call.built_in:
            lose(s, call, reason)
