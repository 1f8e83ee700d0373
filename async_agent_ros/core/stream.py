"""
Partial words in the running context (mode `stream`), for models that were trained for it.

Each stable extension of what the person says becomes a message of the context, and the model
reacts with calls, edits, removals or a pause (arXiv 2605.13360, section 4). Until the words are
final the context only grows, so its KV cache stays valid. Reads run at once; everything else waits,
in the phase `pending`, until the model has read the final words and edits the plan no more: its
answer to them withdraws and corrects first, and begins with what is new only then.
"""
from dataclasses import replace
from typing import List, Optional, Set

from async_agent_ros.core import answers, built_in, calls, effects, events, operands, phrases
from async_agent_ros.core import schedule, speculation
from async_agent_ros.core.ledger import MAIN
from async_agent_ros.core.state import Answer, Assumption, Call, KernelState, Stream
from async_agent_ros.core.tools import canonical_json
from async_agent_ros.core.words import Effect, Error, Kind, Status


def on_partial(s: KernelState, assumption: Assumption) -> None:
    """Have the model hear the words so far."""
    speculation.open_plan(s, assumption.utterance_id)
    if s.stream is not None and s.stream.utterance_id != assumption.utterance_id:
        abandon(s, s.stream.utterance_id, 'the person said something else')
    s.assumption = assumption


def start_if_due(s: KernelState) -> None:
    """Write the new words and ask for a reaction, when nothing else is to do."""
    wanted = s.assumption
    if wanted is None or not speculation.may_begin(s, wanted):
        return
    if s.stream is not None and s.stream.utterance_id != wanted.utterance_id:
        return    # what was said before is being answered
    s.assumption = None
    known = s.stream.sent if s.stream else ''
    new = wanted.text[len(known):] if wanted.text.startswith(known) else wanted.text
    if not new.strip():
        return
    entry = s.append(Kind.USER, new.strip(), name='partial')
    if s.stream is None:
        s.stream = Stream(wanted.utterance_id, entry.seq)
    s.stream.sent, s.stream.seen, s.stream.past_edits = wanted.text, False, False
    s.drafted_ns = s.now_ns
    s.plan.drafts += 1
    answer = Answer(s.next_generation, s.epoch, s.ledger.next_seq, s.now_ns, partial=True)
    s.next_generation += 1
    s.active = answer.generation_id
    s.answers[answer.generation_id] = answer
    s.stream.generations.add(answer.generation_id)
    s.emit(effects.Generate(answer.generation_id, s.epoch, answer.context_seq, MAIN, True,
                            tell_begun=True))


def is_answer(s: KernelState, answer: Answer) -> bool:
    """Tell whether a generation answers the final words of a streamed utterance."""
    return s.stream is not None and s.stream.answer == answer.generation_id


def on_output(s: KernelState, answer: Answer, event) -> None:
    """Take calls and removals; what it says before the words are final is not said."""
    if isinstance(event, events.LineBegun):
        if event.call_id not in s.stream.ids:
            s.stream.past_edits = True
            settle_if_final(s)
    elif isinstance(event, events.CallGenerated):
        on_call(s, event)
    elif isinstance(event, events.CallRemoved):
        on_removal(s, event)
    elif isinstance(event, events.GenerationEnded):
        end(s, answer, event)
    elif not isinstance(event, events.FirstToken):
        s.ignore('output before the words are final', type(event).__name__)


def on_call(s: KernelState, event) -> None:
    """
    Write a call, or put it in the place of the one that has its id.

    What partial words lead to is a guess: one that cannot run is not written, for the answer to
    the final words to get right, and a read that was made already is not made again.
    """
    event = replace(event, arguments=operands.replace(event.arguments, lambda o: str(
        operands.Operand(s.stream.ids.get(o.call_id, o.call_id), o.path))))
    given = event.call_id or event.name
    if s.answers[event.generation_id].partial:
        if problem := _problem_of(s, event):
            s.ignore('a guess that cannot run', f'{event.name}: {problem}')
            if event.call_id in s.stream.ids:    # an edit: the old one is not meant any more
                withdraw(s, s.stream.ids[given], 'what it was changed to cannot run', 0)
            return
        if event.call_id not in s.stream.ids and (known := _read_already(s, event)):
            s.stream.ids[given] = known
            s.ignore('a read that was made on these words already', known)
            return
    old_id = s.stream.ids.get(given, '') if event.call_id else ''
    old = s.calls.get(s.stream.ids.get(given, ''))
    same = _same(s, event)
    call_id = ''
    if same is not None:
        call_id = same.call_id    # written once more
    elif event.call_id and old is not None:
        if old.executing or old.cleared:
            calls.cancel(s, old, 'edited')
            retract(s, old.call_id)
        else:
            call_id = old.call_id    # it has not run: the new entry is about the same id
    elif event.call_id not in s.stream.ids:
        call_id = event.call_id
    elif event.call_id and s.stream.ids[given] in s.ended_calls:
        withdraw_result(s, s.stream.ids[given], 'edited', event.generation_id)
    seq = s.ledger.next_seq
    calls.on_call_generated(s, events.CallGenerated(
        event.stamp_ns, generation_id=event.generation_id, epoch=event.epoch, call_id=call_id,
        name=event.name, arguments=event.arguments))
    call_id = next(e.call_id for e in s.ledger[seq:] if e.kind == Kind.CALL)
    s.stream.ids[given] = s.stream.ids[call_id] = call_id
    if old_id and old_id != call_id:
        follow_edit(s, old_id, call_id, event.generation_id)
    call = s.calls.get(call_id)
    if (call is not None and call.spec.effect is Effect.READ_ONLY and not call.built_in
            and s.plan is not None):
        planned, _ = s.plan.propose(call_id, call.spec.name, call.arguments, call_id)
        if call.executing:
            s.plan.started(planned, call.arguments, s.now_ns)


def _same(s: KernelState, event) -> Optional[Call]:
    """Return the equal call of this utterance that waits for its commit point, if there is one."""
    wanted = (event.name, canonical_json(event.arguments))
    return next((c for c in s.calls.values() if c.generation_id in s.stream.generations
                 and not (c.executing or c.cleared) and c.canonical == wanted), None)


def _problem_of(s: KernelState, event) -> str:
    spec = built_in.TOOLS.get(event.name) or s.catalogue.get(event.name)
    if spec is None:
        return 'there is no such tool'
    return schedule.problem_of(s, event.call_id, spec, event.arguments)


def _read_already(s: KernelState, event) -> str:
    """Return the id of the equal read of this utterance that stands, '' if there is none."""
    wanted = (event.name, canonical_json(event.arguments))
    gone = taken_back(s)
    return next((
        e.call_id for e in s.ledger[s.stream.first_seq:]
        if e.kind == Kind.CALL and e.generation_id in s.stream.generations
        and (e.name, canonical_json(e.data['arguments'])) == wanted and e.call_id not in gone
        and s.plan is not None and e.call_id in s.plan.calls
        and s.ended_calls.get(e.call_id, Status.SUCCEEDED) == Status.SUCCEEDED), '')


def on_removal(s: KernelState, event) -> None:
    """Withdraw a call at the model's word."""
    call_id = s.stream.ids.get(event.call_id, event.call_id)
    if call_id in s.calls or call_id in s.ended_calls:
        withdraw(s, call_id, 'removed by the model', event.generation_id)
    else:
        s.ignore('removal of an unknown call', event.call_id)


def withdraw(s: KernelState, call_id: str, reason: str, generation_id: int) -> None:
    """Take a call out of the plan, and what needs its result; results that are there count not."""
    call = s.calls.get(call_id)
    if call is None:
        withdraw_result(s, call_id, reason, generation_id)
    else:
        calls.cancel(s, call, reason, generation_id=generation_id)
        retract(s, call_id)
    for other in needing(s, call_id):
        if other not in taken_back(s):    # by one before it
            withdraw(s, other, f'it needs the result of {call_id}', generation_id)


def needing(s: KernelState, call_id: str) -> List[str]:
    """
    Return the calls of this utterance with an operand of a call.

    Those that are committed to change the world are work like any other, and not among them.
    """
    mine = set(s.stream.ids.values()) - taken_back(s)
    written = {e.call_id: e for e in s.ledger[s.stream.first_seq:]
               if e.kind == Kind.CALL and e.call_id in mine}

    def may_fall(other: str) -> bool:
        call = s.calls.get(other)
        if call is None:
            return s.ended_calls[other] == Status.SUCCEEDED and (
                other in (s.plan.calls if s.plan else ()))
        return not call.executing or call.spec.effect is Effect.READ_ONLY
    return [i for i, e in written.items() if may_fall(i) and any(
        o.call_id == call_id for o in operands.find(e.data['arguments']))]


def taken_back(s: KernelState) -> Set[str]:
    """Return the calls that were withdrawn since the utterance that is heard or answered began."""
    return set() if s.stream is None else {
        e.call_id for e in s.ledger[s.stream.first_seq:] if e.kind == Kind.RETRACT}


def follow_edit(s: KernelState, old_id: str, new_id: str, generation_id: int) -> None:
    """Let what waits for a call wait for the one in its place; what ran with its result falls."""
    for other in needing(s, old_id):
        call = s.calls.get(other)
        if call is None or call.resolved:
            withdraw(s, other, f'it needs the result of {old_id}', generation_id)
        else:
            call.arguments = operands.replace(call.arguments, lambda o: str(operands.Operand(
                new_id if o.call_id == old_id else o.call_id, o.path)))


def withdraw_result(s: KernelState, call_id: str, reason: str, generation_id: int) -> None:
    """Write that a call which has ended is not meant any more: its result counts for nothing."""
    s.append(Kind.RETRACT, {'reason': reason}, call_id=call_id, generation_id=generation_id)
    retract(s, call_id)


def retract(s: KernelState, call_id: str) -> None:
    """Take a call out of the plan; what it found is told to nobody."""
    s.waiting = [w for w in s.waiting if s.ledger[w.seq].call_id != call_id]
    if s.plan is not None and call_id in s.plan.calls:
        s.plan.retract(call_id)


def end(s: KernelState, answer: Answer, event) -> None:
    """End a reaction to partial words: nothing is committed by it."""
    s.active = None
    s.clear_timer(f'reaction:{answer.generation_id}')
    s.stream.seen = event.error_code == Error.NONE and event.finish_reason == 'stop'
    if event.error_code != Error.NONE and s.plan is not None:
        s.plan.drafts = s.settings.speculation_drafts    # no more of that for this utterance
    answer.finish = {'finish_reason': event.finish_reason, 'error_code': event.error_code,
                     'error_msg': event.error_msg, 'output_tokens': event.output_tokens,
                     'partial': True}
    answers.end(s, answer, Status.FAILED if event.error_code else Status.SUCCEEDED)


def reacting(s: KernelState) -> bool:
    """Tell whether a reaction to partial words is being written."""
    answer = s.answers.get(s.active)
    return answer is not None and answer.partial


def close(s: KernelState) -> None:
    """No more words will come: what is being written may be finished, if it does not take long."""
    s.assumption = None
    if reacting(s):
        s.set_timer(f'reaction:{s.active}', s.settings.speculation_finish_s)


def on_reaction_timer(s: KernelState, generation_id: str) -> None:
    """End a reaction that has had its time."""
    if str(s.active) == generation_id:
        cut_off(s)


def cut_off(s: KernelState) -> None:
    """End the reaction to partial words that is being written, if one is."""
    if not reacting(s):
        return
    answer = s.answers[s.active]
    s.active = None
    s.emit(effects.AbortGeneration(answer.generation_id))
    if s.plan is not None:
        s.dropped[answer.generation_id] = s.plan
    answer.finish = {'finish_reason': 'aborted', 'partial': True}
    answers.end(s, answer, Status.CANCELLED)


def on_final(s: KernelState, text: str) -> None:
    """
    Pass the commit point if the model has reacted to exactly these words: its plan is finished.

    Otherwise that is where the answer to them goes on to something new, at the latest its end.
    """
    s.stream.final, s.stream.past_edits = True, False
    if s.plan is not None and s.plan.utterance_id == s.stream.utterance_id:
        s.plan.keep(s.now_ns)
    if s.stream.seen and phrases.words(text) == phrases.words(s.stream.sent):
        s.stream.settled = True
        calls.commit_proposed(s, s.stream.generations, ask=False)


def settle_if_final(s: KernelState) -> None:
    """
    Pass the commit point of what was planned before, once the model has gone on from its edits.

    That is in a generation on the final words: their answer, or a reaction under way as they came.
    """
    stream = s.stream
    if stream is None or stream.settled or not stream.past_edits:
        return
    # when the reaction has ended, the words are written first and on_final passes the point
    if stream.final or (reacting(s) and any(
            w.utterance_id == stream.utterance_id
            and phrases.words(w.text) == phrases.words(stream.sent) for w in s.deferred)):
        stream.settled = True
        calls.commit_proposed(s, stream.generations - {s.active}, ask=False)


def abandon(s: KernelState, utterance_id: str, reason: str) -> None:
    """Nothing comes of the words: withdraw what they led to, unless they were final."""
    stream = s.stream
    if (stream is None or stream.utterance_id != utterance_id or stream.final
            or stream.settled):
        return
    s.assumption = None
    cut_off(s)
    s.stream = None
    for call in list(s.calls.values()):
        if call.generation_id in stream.generations and call.call_id in s.calls:
            calls.cancel(s, call, reason)
    for entry in s.ledger[stream.first_seq:]:
        if entry.kind == Kind.CALL and entry.generation_id in stream.generations:
            retract(s, entry.call_id)
    s.append(Kind.NOTIFICATION, {'text': f'nothing came of these words: {reason}'}, name='note')
