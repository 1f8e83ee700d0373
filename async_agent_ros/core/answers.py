"""Generations and their speech: request, release of text, end, and what was heard of it."""
from typing import Optional

from async_agent_ros.core import calls, effects, instances, speculation, turns
from async_agent_ros.core.ledger import DRAFT, MAIN
from async_agent_ros.core.state import Answer, Cut, KernelState, Segment, Stretch, Waiting
from async_agent_ros.core.words import Error, Kind, Scope, Status

MOST_DOUBLINGS = 5


# -- start ----------------------------------------------------------------------------------------
def may_start(s: KernelState) -> bool:
    """Tell whether something waits for an answer and nothing forbids one."""
    return bool(s.running and s.waiting and s.active is None and not s.cut and not s.paused
                and not s.retrying and not s.person_has_floor)


def start_if_due(s: KernelState) -> None:
    """Ask for one generation that answers all that waits, when nothing forbids it."""
    if not may_start(s) or (not any(w.is_person for w in s.waiting) and (
            s.grouping or instances.waits(s, MAIN, s.waiting))):
        return
    waiting, s.waiting = tuple(s.waiting), []
    answer = Answer(s.next_generation, s.epoch, s.ledger.next_seq, s.now_ns, waiting)
    if answer.depth > s.settings.max_chain:
        s.append(Kind.NOTIFICATION, {'text': f'{s.settings.max_chain} generations in a row without '
                                     'a word of the person: waiting for one'}, name='error')
        speak_line(s, s.settings.chain_line)
        return
    s.next_generation += 1
    begin(s, answer)
    s.emit(effects.Generate(answer.generation_id, s.epoch, answer.context_seq, MAIN,
                            tell_begun=plan_waits(s, answer)))


def begin(s: KernelState, answer: Answer) -> None:
    """Give an answer the floor of the conversation; its generation may have begun before."""
    s.active = answer.generation_id
    s.answers[answer.generation_id] = answer
    latest = main_trigger(answer)
    answer.stamps_ns = {'trigger': latest.stamp_ns, 'speech_end': latest.speech_end_ns,
                        'declared': latest.declared_ns, 'requested': s.now_ns}
    speculation.answered_by(s, answer)
    if s.stream is not None and s.stream.final and latest.trigger == 'speech':
        s.stream.answer = answer.generation_id
    if latest.is_person and s.settings.filler_after_s > 0.0 and s.settings.filler_lines:
        s.set_timer('filler', s.settings.filler_after_s)


def plan_waits(s: KernelState, answer: Answer) -> bool:
    """Tell whether calls of partial words wait until this answer is done with editing them."""
    return (s.stream is not None and s.stream.answer == answer.generation_id
            and not s.stream.settled)


def on_filler_timer(s: KernelState) -> None:
    """Say that the answer takes a moment, unless something is said or heard just now."""
    answer = s.answers.get(s.active)
    if (answer and not answer.has_text and any(w.is_person for w in answer.waiting)
            and not (s.segments or s.held or s.person_has_floor or s.paused or s.cut)):
        lines = s.settings.filler_lines
        speak_line(s, lines[answer.generation_id % len(lines)])


def speak_line(s: KernelState, text: str, *, interruptible: bool = True,
               instead_of: Optional[Answer] = None) -> None:
    """
    Speak a line of the manager's own: an answer that no model generated.

    `instead_of`: the generation that should have said something; the line answers, and is measured
    from, what that did.
    """
    answer = Answer(s.next_generation, s.epoch, s.ledger.next_seq, s.now_ns, generating=False,
                    interruptible=interruptible, finish={'finish_reason': 'line'})
    if instead_of is not None:
        answer.waiting, answer.stamps_ns = instead_of.waiting, dict(instead_of.stamps_ns)
    s.next_generation += 1
    s.answers[answer.generation_id] = answer
    add_text(s, answer, text)
    flush(s, answer)


# -- what the model writes ------------------------------------------------------------------------
def current(s: KernelState, event) -> Answer:
    """Return the answer that the event belongs to, or None when it is stale."""
    answer = s.answers.get(event.generation_id)
    # Words of the person end what is said to him, not what helpers think.
    if answer is None or not answer.generating or (
            answer.instance in (MAIN, DRAFT) and event.epoch < s.epoch):
        s.ignore('stale generation', str(event.generation_id), f'epoch {event.epoch}')
        return None
    return answer


def on_first_token(s: KernelState, event) -> None:
    """Note the time to first token."""
    answer = current(s, event)
    if answer:
        answer.stamps_ns.setdefault('first_token', s.now_ns)


def on_line_begun(s: KernelState, event) -> None:
    """Ignore it: only a plan that was made on partial words waits for it (core/stream.py)."""
    if current(s, event):
        s.ignore('a line begins, and no plan waits for it', str(event.generation_id))


def on_text(s: KernelState, event) -> None:
    """Release text to the voice, or hold it while the person has the floor."""
    answer = current(s, event)
    if answer and event.text.strip():
        add_text(s, answer, event.text)


def add_text(s: KernelState, answer: Answer, text: str) -> None:
    """Add text to the answer's stretch and release it when the agent may speak."""
    if not answer.stretches or answer.stretches[-1].seq is not None:
        answer.stretches.append(Stretch())
    answer.stretches[-1].text += text
    if answer.instance == MAIN:
        s.held.append((answer.generation_id, text))
        release(s)


def release(s: KernelState) -> None:
    """Hand held text to tts unless the person has the floor."""
    if s.person_has_floor or s.paused or s.cut:
        return
    held, s.held = s.held, []
    for generation_id, text in held:
        answer = s.answers[generation_id]
        segment = Segment(s.next_segment, generation_id, text, answer.interruptible)
        s.next_segment += 1
        stretch = next(x for x in answer.stretches
                       if sum(len(g.text) for g in x.segments) < len(x.text))
        stretch.segments.append(segment)
        if s.voice:
            s.segments[segment.segment_id] = segment
        else:
            segment.heard_chars = len(text)    # read, not heard: there is no voice
        answer.stamps_ns.setdefault('first_sentence', s.now_ns)
        s.emit(effects.Say(segment.segment_id, generation_id, s.epoch, text,
                           segment.interruptible))


def flush(s: KernelState, answer: Answer) -> None:
    """Write the text since the last call as an assistant entry."""
    if answer.stretches and answer.stretches[-1].seq is None:
        stretch = answer.stretches[-1]
        stretch.seq = s.append(Kind.ASSISTANT, stretch.text.strip(), instance=answer.instance,
                               generation_id=answer.generation_id).seq


def on_rejected(s: KernelState, event) -> None:
    """Tell the model what is wrong with its output; one more generation answers it."""
    answer = current(s, event)
    if answer:
        flush(s, answer)
        reject(s, answer, event.reason, event.raw)


def reject(s: KernelState, answer: Answer, reason: str, raw: str) -> None:
    """Write what is wrong with an output and have the model try again."""
    entry = s.append(Kind.NOTIFICATION, {'text': reason, 'raw': raw[:500]},
                     name='rejected_output', generation_id=answer.generation_id,
                     instance=answer.instance)
    turns.wait(s, entry.seq, 'notification', answer.depth + 1, answer.turns,
               instance=answer.instance)


# -- end ------------------------------------------------------------------------------------------
def on_generation_ended(s: KernelState, event) -> None:
    """Close the text; pass the commit point; answer an error by name."""
    answer = current(s, event)
    if not answer:
        return
    if answer.instance == MAIN:
        s.active = None
    else:
        instances.on_generation_ended(s, answer)
    answer.generating = False
    flush(s, answer)
    answer.counts.update(
        prompt_tokens=event.prompt_tokens, cached_tokens=event.cached_tokens,
        output_tokens=event.output_tokens, decode_s=event.decode_s, calls=answer.calls)
    answer.finish = {'finish_reason': event.finish_reason, 'error_code': event.error_code,
                     'error_msg': event.error_msg, 'output_tokens': event.output_tokens}
    if event.error_code == Error.NONE and event.finish_reason in ('stop', 'length'):
        s.failures = 0
        if (not answer.has_text and any(w.is_person for w in answer.waiting)
                and not any(c.generation_id in calls.proposals(s, answer.generation_id)
                            for c in s.calls.values()) and not answer.calls):
            reject(s, answer, 'you wrote nothing: answer the person', '')
        calls.commit_pending(s, answer)
        if s.stream is not None and s.stream.answer == answer.generation_id:
            s.stream = None
        speculation.passed_commit_point(s, answer)
        return
    calls.retract_pending(s, answer.generation_id, 'the generation failed')
    fail(s, answer, event)


def fail(s: KernelState, answer: Answer, event) -> None:
    """End a failed answer: try again without a dispatcher, else say it in a fixed line."""
    end(s, answer, Status.FAILED)
    again = event.error_code in (Error.NO_DISPATCHER, Error.STALE)
    if answer.instance != MAIN:
        one = s.instances[answer.instance]
        if again:
            one.waiting = list(answer.waiting) + one.waiting
            retry_later(s)
        else:
            instances.end(s, one, Status.FAILED, event.error_msg or 'generation aborted')
        return
    if again:
        s.waiting = list(answer.waiting) + s.waiting
        retry_later(s)
        return
    # Results stay owed, but to ask again at once would fail again: the person's next word does.
    s.waiting = [w for w in answer.waiting if not w.is_person] + s.waiting
    s.retrying = True
    s.append(Kind.NOTIFICATION, {'text': event.error_msg or 'generation aborted',
                                 'error_code': event.error_code}, name='error')
    turns.fail(s, answer.turns, event.error_msg)
    if event.error_code == Error.NO_MODEL:
        speak_line(s, s.settings.no_model_line)
    elif event.error_code != Error.NONE:
        speak_line(s, s.settings.engine_error_line)


def lose_all(s: KernelState) -> None:
    """End the running generations whose dispatcher died; ask again when one is back."""
    for answer in [a for a in s.answers.values() if a.generating]:
        lose(s, answer)


def lose(s: KernelState, answer: Answer) -> None:
    """End a generation as lost; what it was to answer waits again."""
    one = s.instances.get(answer.instance)
    if one is None:
        s.active = None
    else:
        one.active = None
    answer.generating = False
    flush(s, answer)
    calls.retract_pending(s, answer.generation_id, 'the dispatcher died')
    answer.finish = {'finish_reason': 'lost', 'error_code': Error.NO_DISPATCHER,
                     'error_msg': 'the dispatcher died'}
    end(s, answer, Status.LOST)
    if one is not None:
        one.waiting = list(answer.waiting) + one.waiting
        retry_later(s)
        return
    # What it said may have answered the person; a result counts only when its telling was whole.
    s.waiting = [w for w in answer.waiting
                 if not (w.is_person and answer.has_text)] + s.waiting
    retry_later(s)


def retry_later(s: KernelState) -> None:
    """Ask again after a while that doubles with every failure in a row."""
    s.retrying = True
    s.set_timer('retry', s.settings.retry_s * 2 ** min(s.failures, MOST_DOUBLINGS))
    s.failures += 1


def end(s: KernelState, answer: Answer, status: Status) -> None:
    """Write the one end of a generation and report its latencies."""
    del s.answers[answer.generation_id]
    s.held = [h for h in s.held if h[0] != answer.generation_id]
    s.append(Kind.END, {**answer.finish, 'context_seq': answer.context_seq}, status=status,
             generation_id=answer.generation_id, instance=answer.instance)
    if answer.instance != MAIN:
        return
    turns.answered(s, answer)
    if answer.waiting:
        measure(s, answer, complete=True, interrupted=status == Status.CANCELLED)


def measure(s: KernelState, answer: Answer, *, complete=False, interrupted=False) -> None:
    """Report the latencies of an answer."""
    answer.counts.update(speculation.counts(s, answer))
    s.emit(effects.TurnMeasured(
        answer.generation_id, main_trigger(answer).trigger, complete, interrupted,
        dict(answer.stamps_ns), dict(answer.counts), tuple(sorted(s.guessed_badly))))


def main_trigger(answer: Answer) -> Waiting:
    """Return what the answer is measured from: the person's last words, else what came first."""
    return next((w for w in reversed(answer.waiting) if w.is_person), answer.waiting[0])


def end_finished(s: KernelState) -> None:
    """End answers that are generated and spoken to the last sample."""
    for answer in list(s.answers.values()):
        if (not answer.generating and not (s.cut and answer.generation_id in s.cut.answers)
                and not open_segments(s, answer)
                and not any(g == answer.generation_id for g, _ in s.held)):
            end(s, answer, Status.SUCCEEDED)


def open_segments(s: KernelState, answer: Answer):
    """Return the answer's segments that the sink has not finished with."""
    return [g for g in s.segments.values() if g.generation_id == answer.generation_id]


# -- what the sink reports ------------------------------------------------------------------------
def on_speech_progress(s: KernelState, event) -> None:
    """Keep what was heard; close a segment on its terminal report."""
    segment = s.segments.get(event.segment_id)
    if segment is None:
        s.ignore('unknown segment', str(event.segment_id))
        return
    if event.state == 'finished':
        segment.heard_chars = len(segment.text)
    else:
        segment.heard_chars = min(len(segment.text), max(segment.heard_chars, event.heard_chars))
    answer = s.answers.get(segment.generation_id)
    if event.state == 'started' and answer and 'first_audio' not in answer.stamps_ns:
        answer.stamps_ns['first_audio'] = event.at_ns or s.now_ns
        if answer.waiting:
            measure(s, answer)
    if event.state in ('finished', 'stopped', 'failed'):
        del s.segments[event.segment_id]
        if event.state == 'failed':
            s.append(Kind.NOTIFICATION, {'text': event.error_msg or 'speech failed'},
                     name='error', generation_id=segment.generation_id)
        if s.cut:
            s.cut.segments.discard(event.segment_id)
            close_cut_if_complete(s)


# -- interruption ---------------------------------------------------------------------------------
def interrupt(s: KernelState, reason: str, scope: Scope) -> None:
    """Stop voice and generation (never work, unless the scope says so) and raise the epoch."""
    s.epoch += 1
    s.emit(effects.Interrupt('stop', s.epoch, scope, reason))
    s.paused = False
    s.clear_timer('resume')
    targets = {a.generation_id for a in s.answers.values() if a.instance == MAIN}
    held = {g for g, _ in s.held if s.answers[g].interruptible}
    targets = {g for g in targets if s.answers[g].generating or g in held
               or any(x.interruptible for x in open_segments(s, s.answers[g]))}
    segments = {x.segment_id for x in s.segments.values()
                if x.interruptible and x.generation_id in targets}
    for generation_id in targets:
        answer = s.answers[generation_id]
        answer.generating = False
        flush(s, answer)
        answer.finish = {'finish_reason': 'aborted', **answer.finish}
        calls.retract_pending(s, generation_id, 'interrupted before it was committed')
    s.held = [h for h in s.held if h[0] not in targets]
    s.active = None if s.active in targets else s.active
    if s.cut:
        s.cut.answers |= targets
        s.cut.segments |= segments
        s.cut.scope = scope if scope != Scope.SPEECH else s.cut.scope
    else:
        s.cut = Cut(reason, scope, targets, segments)
    calls.cancel_for_interrupt(s, scope, reason)
    if s.cut.segments:
        s.set_timer('cut', s.settings.cut_timeout_s)
    close_cut_if_complete(s)


def close_cut_if_complete(s: KernelState) -> None:
    """Close the cut once the sink has told of every segment."""
    if s.cut and not s.cut.segments:
        close_cut(s)


def close_cut(s: KernelState) -> None:
    """Write what was heard of what was intended; what was not told is owed again."""
    cut, s.cut = s.cut, None
    s.clear_timer('cut')
    for segment_id in cut.segments:
        s.segments.pop(segment_id, None)
    owed = []
    for generation_id in sorted(cut.answers):
        answer = s.answers[generation_id]
        for stretch in answer.stretches:
            heard, intended = stretch.heard.strip(), stretch.text.strip()
            if heard != intended:
                s.append(Kind.INTERRUPT, {'heard': heard, 'intended': intended,
                                          'reason': cut.reason, 'scope': str(cut.scope)},
                         about_seq=stretch.seq, generation_id=generation_id)
        owed += [w for w in answer.waiting if not w.is_person and w.trigger != 'accepted']
        turns.fail(s, answer.turns, 'the answer was cut off', interrupted=True)
        end(s, answer, Status.CANCELLED)
    if owed:
        ids = [s.ledger[w.seq].call_id for w in owed]
        s.append(Kind.NOTIFICATION, {'text': 'not heard by the person yet: '
                                     + ', '.join(f'result of {i}' if i else 'a notification'
                                                 for i in ids), 'calls': ids}, name='owed')
        s.waiting = owed + s.waiting
