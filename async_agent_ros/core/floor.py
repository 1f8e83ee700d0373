"""Who has the floor: the person's sound and words, and what they do to the agent's speech."""
from async_agent_ros.core import answers, calls, drafts, effects, phrases, speculation, stream
from async_agent_ros.core import turns
from async_agent_ros.core.state import Assumption, KernelState, Words
from async_agent_ros.core.words import Kind, Phase, Scope, Speculation


def agent_is_busy(s: KernelState) -> bool:
    """Tell whether there is speech or a generation that words would interrupt."""
    return bool(s.segments or s.held or (s.active is not None and not stream.reacting(s)))


# -- sound ----------------------------------------------------------------------------------------
def on_speech_started(s: KernelState, event) -> None:
    """Give the person the floor; hold the voice until it is clear whether this is words."""
    s.speaking[event.utterance_id] = event.stamp_ns
    s.clear_timer('resume')
    if s.segments and not s.paused and not s.cut:
        s.paused = True
        s.emit(effects.Interrupt('pause', s.epoch, Scope.SPEECH, 'speech activity'))


def on_speech_stopped(s: KernelState, event) -> None:
    """Wait for the words; without any, the voice goes on soon."""
    if s.speaking.pop(event.utterance_id, None) is None:
        s.ignore('end of an utterance that never began', event.utterance_id)
        return
    s.awaited[event.utterance_id] = (event.speech_end_ns, s.now_ns)
    s.set_timer(f'transcript:{event.utterance_id}', s.settings.transcript_timeout_s)
    if s.paused:
        s.set_timer('resume', s.settings.resume_after_s)


def resume(s: KernelState, reason: str) -> None:
    """Let paused speech go on."""
    s.clear_timer('resume')
    if s.paused:
        s.paused = False
        s.emit(effects.Interrupt('resume', s.epoch, Scope.SPEECH, reason))


def on_resume_timer(s: KernelState) -> None:
    """Nothing was understood in time: the sound was no interruption."""
    if not s.speaking:
        for utterance_id in list(s.awaited):
            give_up(s, utterance_id)
        resume(s, 'no words')


def give_up(s: KernelState, utterance_id: str) -> None:
    """Wait no longer for a transcript; should it come, it counts like typed text."""
    s.awaited.pop(utterance_id, None)
    s.clear_timer(f'transcript:{utterance_id}')
    forget(s, utterance_id, 'no final transcript came')


def on_transcript_timer(s: KernelState, utterance_id: str) -> None:
    """Give the floor back when the recogniser does not answer."""
    if utterance_id in s.awaited:
        give_up(s, utterance_id)
        s.append(Kind.NOTIFICATION, {'text': 'no transcript came for something that was heard'},
                 name='error')
        if not s.person_has_floor:
            resume(s, 'no transcript')


def on_peer_changed(s: KernelState, event) -> None:
    """Free what only a vanished node could have ended."""
    if event.peer == 'tts':
        s.voice = event.alive
    if event.alive:
        if event.peer == 'dispatcher':
            s.retrying, s.failures = False, 0
            s.clear_timer('retry')
        return
    if event.peer == 'asr':
        for utterance_id in list(s.speaking):
            del s.speaking[utterance_id]
            forget(s, utterance_id, 'asr vanished')
        for utterance_id in list(s.awaited):
            give_up(s, utterance_id)
        resume(s, 'asr vanished')
    elif event.peer == 'tts' and (s.segments or s.paused):
        answers.interrupt(s, 'tts vanished', Scope.SPEECH)
        s.segments.clear()
        if s.cut:
            s.cut.segments.clear()
            answers.close_cut(s)
    elif event.peer == 'dispatcher':
        drafts.drop(s, 'the dispatcher died')
        s.dropped.clear()
        calls.lose_all(s, 'the dispatcher died; the action may still run')
        answers.lose_all(s)


# -- words ----------------------------------------------------------------------------------------
def on_transcript(s: KernelState, event) -> None:
    """Stop the voice as soon as there are words; the final transcript enters the ledger."""
    if not event.final:
        if (s.paused or s.segments or s.held) and phrases.stops_speech(event.text, s.settings):
            answers.interrupt(s, 'barge-in', scope_of(s, event.text))
        assume(s, event)
        return
    s.speaking.pop(event.utterance_id, None)
    true_end_ns, declared_ns = s.awaited.pop(event.utterance_id, (0, 0))
    s.clear_timer(f'transcript:{event.utterance_id}')
    text = event.text.strip()
    if phrases.is_backchannel(text, s.settings) and (not text or leaves_floor(s)):
        if text:
            s.append(Kind.NOTIFICATION, {'text': text}, name='backchannel')
        forget(s, event.utterance_id, 'it was no utterance')
        if not s.person_has_floor:
            resume(s, 'backchannel' if text else 'no words')
        return
    stream.close(s)
    take(s, Words(text, 'speech', s.now_ns, true_end_ns, declared_ns,
                  utterance_id=event.utterance_id), 'barge-in')


def assume(s: KernelState, event) -> None:
    """Work ahead on the words that no longer change, where the settings ask for it."""
    how = speculation.mode(s)
    text = event.text[:event.stable_chars].strip()
    words = tuple(phrases.words(text))
    if (how is Speculation.OFF or confirming(s) or len(words) < s.settings.speculation_min_words
            or phrases.is_backchannel(text, s.settings) or phrases.is_stop(text, s.settings)):
        return
    if event.utterance_id not in s.speaking and event.utterance_id not in s.awaited:
        s.ignore('words of an utterance that is over', event.utterance_id)
        return
    whole = event.stable_chars >= len(event.text.rstrip())
    ahead = drafts if how is Speculation.REVISE else stream
    ahead.on_partial(s, Assumption(event.utterance_id, text, words, whole))


def forget(s: KernelState, utterance_id: str, reason: str) -> None:
    """End what was begun on words that are not going to be final."""
    if s.plan is not None and s.plan.utterance_id == utterance_id and not s.plan.generation_id:
        drafts.abandon(s, reason)
        stream.abandon(s, utterance_id, reason)


def leaves_floor(s: KernelState) -> bool:
    """Tell whether a backchannel may pass: the agent speaks and has not asked anything."""
    asked = any(g.text.rstrip().endswith('?') for g in s.segments.values())
    return bool(s.segments or s.held) and not asked and not confirming(s)


def on_user_text(s: KernelState, event) -> None:
    """Text counts like speech: it interrupts, and it is answered."""
    text = event.text.strip()
    if event.request_id:
        turns.open_turn(s, event.request_id, event.wait_for_calls)
    if not text:
        s.ignore('empty text')
        return
    take(s, Words(text, event.source, s.now_ns, request_id=event.request_id), 'text')


def scope_of(s: KernelState, text: str) -> Scope:
    """Return how far the words reach: an order to stand still stops motion too."""
    return Scope.MOTION if phrases.is_motion_stop(text, s.settings) else Scope.SPEECH


def take(s: KernelState, words: Words, reason: str) -> None:
    """Let words of the person interrupt, then enter the ledger after what they cut off."""
    scope = scope_of(s, words.text)
    moving = any(calls.stopped_by_word(s, c) and not c.cancel_asked for c in s.calls.values())
    if agent_is_busy(s) or s.paused or (scope == Scope.MOTION and moving):
        answers.interrupt(s, reason if scope == Scope.SPEECH else 'stop word', scope)
    s.deferred.append(words)


def accept_deferred(s: KernelState) -> None:
    """Write the person's words once nothing older is left to write before them."""
    stream.settle_if_final(s)
    while s.deferred and not s.cut and not stream.reacting(s):
        words = s.deferred.pop(0)
        s.retrying = False
        streamed = (s.stream is not None and not s.stream.final
                    and words.utterance_id == s.stream.utterance_id)
        entry = s.append(Kind.USER, words.text, name=words.source,
                         about_seq=s.stream.first_seq if streamed else -1)
        if streamed:
            stream.on_final(s, words.text)
        turn = s.turns.get(words.request_id)
        if turn:
            turn.first_seq = entry.seq
        if confirming(s):
            verdict = phrases.answer_to_question(words.text, s.settings)
            calls.settle_confirmation(s, verdict)
        turns.wait(s, entry.seq, words.source,
                   turn_ids=frozenset({words.request_id} if turn else ()),
                   speech_end_ns=words.speech_end_ns, declared_ns=words.declared_ns)


def confirming(s: KernelState) -> bool:
    """Tell whether a call waits for the person's yes."""
    return any(c.phase == Phase.CONFIRMING for c in s.calls.values())


def on_interrupt_requested(s: KernelState, event) -> None:
    """Somebody pressed a button: stop, without words to answer."""
    try:
        scope = Scope(event.scope or 'speech')
    except ValueError:
        s.ignore('unknown scope', event.scope)
        return
    answers.interrupt(s, event.reason or 'request', scope)
