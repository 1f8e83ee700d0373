"""What waits for an answer, and the turns of Converse goals that follow from it."""
from async_agent_ros.core import effects
from async_agent_ros.core.ledger import MAIN
from async_agent_ros.core.state import Answer, KernelState, Turn, Waiting

ERROR_INTERRUPTED, ERROR_GENERATION, ERROR_SHUTDOWN = 802, 803, 804


def wait(s: KernelState, seq: int, trigger: str, depth: int = 0, turn_ids=frozenset(), *,
         instance: str = MAIN, **stamps) -> None:
    """Have the entry answered by the next generation of the instance, while that lives."""
    waiting = Waiting(seq, trigger, s.now_ns, depth=depth, turns=turn_ids, **stamps)
    if instance == MAIN:
        s.waiting.append(waiting)
        if trigger == 'result' and not s.grouping and s.settings.result_group_s > 0.0:
            s.grouping = True
            s.set_timer('group', s.settings.result_group_s)
    elif instance in s.instances:
        s.instances[instance].waiting.append(waiting)


def open_turn(s: KernelState, request_id: str, wait_for_calls: bool) -> None:
    """Begin to follow a Converse goal."""
    s.turns[request_id] = Turn(request_id, wait_for_calls)


def answered(s: KernelState, answer: Answer) -> None:
    """Add what was said to the turns that it answers."""
    for request_id in sorted(answer.turns):
        turn = s.turns.get(request_id)
        if turn:
            turn.reply.append(''.join(x.text for x in answer.stretches))
            turn.heard.append(''.join(x.heard for x in answer.stretches))


def fail(s: KernelState, turn_ids, message: str, *, interrupted: bool = False) -> None:
    """Mark turns whose answer failed or was cut off."""
    for request_id in sorted(turn_ids):
        turn = s.turns.get(request_id)
        if turn and not turn.error_code:
            turn.error_code = ERROR_INTERRUPTED if interrupted else ERROR_GENERATION
            turn.error_msg = message


def end_finished(s: KernelState) -> None:
    """End the turns that nothing refers to any more."""
    if not s.turns:
        return
    busy = {t for w in s.waiting for t in w.turns}
    busy |= {t for a in s.answers.values() for t in a.turns}
    busy |= {w.request_id for w in s.deferred}
    in_calls = {t for c in s.calls.values() for t in c.turns}
    for turn in list(s.turns.values()):
        if turn.request_id in busy or (turn.wait_for_calls and turn.request_id in in_calls):
            continue
        end(s, turn)


def end(s: KernelState, turn: Turn) -> None:
    """Report the end of a turn."""
    del s.turns[turn.request_id]
    s.emit(effects.TurnEnded(
        turn.request_id, turn.error_code, turn.error_msg,
        ' '.join(x.strip() for x in turn.reply if x.strip()),
        ' '.join(x.strip() for x in turn.heard if x.strip()),
        max(turn.first_seq, 0), s.ledger.next_seq))
