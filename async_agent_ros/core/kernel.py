"""
The kernel: step(event) -> effects, and the table that decides every pair of state and event.

An event-driven finite-state machine after arXiv 2410.21620: IDLE, LISTENING (the person has the
floor), GENERATING, EMITTING (the agent has the floor; generation may go on behind it). It is
deterministic and does no I/O; time comes with the events.
"""
from typing import Callable, Dict, List, Mapping, Type

from async_agent_ros.core import answers, built_in, calls, catalogue, drafts, effects, events
from async_agent_ros.core import floor, instances, schedule, session, speculation, stream, turns
from async_agent_ros.core.ledger import DRAFT, Ledger
from async_agent_ros.core.state import KernelState
from async_agent_ros.core.words import Speculation, State

Handler = Callable[[KernelState, events.Event], None]


def on_timer(s: KernelState, event: events.TimerFired) -> None:
    """Hand an expired timer to the room that set it."""
    kind, _, subject = event.timer_id.partition(':')
    if kind == 'resume':
        floor.on_resume_timer(s)
    elif kind == 'transcript':
        floor.on_transcript_timer(s, subject)
    elif kind == 'confirm':
        calls.on_confirm_timer(s, subject)
    elif kind == 'find':
        calls.on_find_timer(s, subject)
    elif kind == 'timeout':
        calls.on_timeout_timer(s, subject)
    elif kind == 'due':
        built_in.on_due(s, subject)
    elif kind == 'filler':
        answers.on_filler_timer(s)
    elif kind == 'group':
        s.grouping = False
    elif kind == 'retry':
        s.retrying = False
    elif kind == 'cut' and s.cut:
        answers.close_cut(s)
    elif kind == 'reaction':
        stream.on_reaction_timer(s, subject)
    elif kind == 'plan':
        speculation.on_plan_timer(s, subject)
    elif kind == 'speculate':
        pass    # a draft had to wait its time: what is due is begun behind every event
    else:
        s.ignore('timer without a purpose', event.timer_id)


_PLANNING = (events.LineBegun, events.CallGenerated, events.CallRemoved)


def _output(handler: Handler) -> Handler:
    """Let drafts and reactions to partial words have what is theirs of a model's output."""
    def handle(s: KernelState, event: events.Event) -> None:
        answer = s.answers.get(event.generation_id)
        if answer is None:
            if isinstance(event, events.GenerationEnded) and drafts.on_late_end(s, event):
                return
        elif answer.instance == DRAFT or answer.partial or (
                isinstance(event, _PLANNING) and stream.is_answer(s, answer)):
            if answers.current(s, event):
                (drafts if answer.instance == DRAFT else stream).on_output(s, answer, event)
            return
        handler(s, event)
    return handle


def _always(handler: Handler) -> Mapping[State, Handler]:
    return {state: handler for state in State}


TABLE: Dict[Type[events.Event], Mapping[State, Handler]] = {
    events.Started: _always(session.on_started),
    events.SettingsChanged: _always(session.on_settings_changed),
    events.StorageChanged: _always(session.on_storage_changed),
    events.Stopping: _always(session.on_stopping),
    events.InterruptRequested: _always(floor.on_interrupt_requested),
    events.CancelRequested: _always(calls.on_cancel_requested),
    events.SpeechStarted: _always(floor.on_speech_started),
    events.SpeechStopped: _always(floor.on_speech_stopped),
    events.TranscriptUpdated: _always(floor.on_transcript),
    events.UserText: _always(floor.on_user_text),
    events.FirstToken: _always(_output(answers.on_first_token)),
    events.LineBegun: _always(_output(answers.on_line_begun)),
    events.TextGenerated: _always(_output(answers.on_text)),
    events.CallGenerated: _always(_output(calls.on_call_generated)),
    events.CallRemoved: _always(_output(calls.on_call_removed)),
    events.OutputRejected: _always(_output(answers.on_rejected)),
    events.GenerationEnded: _always(_output(answers.on_generation_ended)),
    events.SpeechProgressed: _always(answers.on_speech_progress),
    events.ToolsAnnounced: _always(catalogue.on_tools_announced),
    events.ToolServerLost: _always(catalogue.on_tool_server_lost),
    events.CallAccepted: _always(calls.on_call_accepted),
    events.CallProgressed: _always(calls.on_call_progressed),
    events.CallEnded: _always(calls.on_call_ended),
    events.PeerChanged: _always(floor.on_peer_changed),
    events.TimerFired: _always(on_timer),
}
"""What happens for every event in every state; a test walks all pairs."""


class Kernel:
    """The dialogue's state and its one transition function."""

    def __init__(self, ledger: Ledger = None):
        """Begin with the entries of an earlier life, if any; the first event must be Started."""
        self.state = KernelState(ledger=ledger if ledger is not None else Ledger())
        self._shown = None

    def step(self, event: events.Event) -> List[effects.Effect]:
        """Consume one event and return what is to be done, in order."""
        s = self.state
        s.out = []
        s.now_ns = event.stamp_ns
        if not s.running and not isinstance(event, events.Started):
            s.ignore('the session does not run', type(event).__name__)
            return s.out
        TABLE[type(event)][s.phase](s, event)
        if s.running:
            self._settle(s)
        s.phase = phase_of(s)
        shown = (s.session, s.phase, s.epoch, s.active, s.paused, s.running)
        if shown != self._shown or s.changed:
            self._shown, s.changed = shown, False
            s.emit(effects.StateChanged())
        return s.out

    @staticmethod
    def _settle(s: KernelState) -> None:
        """Do what has become possible, in a fixed order."""
        floor.accept_deferred(s)
        answers.release(s)
        while True:
            answers.end_finished(s)
            instances.end_finished(s)
            if s.call_ended:
                built_in.end_waits(s)
                speculation.on_calls_ended(s)
                schedule.advance_waiting(s)
            elif not (answers.may_start(s) and drafts.adopt(s)):
                break
        if s.draft and (s.draft.epoch != s.epoch or s.draft.context_seq < 0
                        or s.active is not None or answers.may_start(s)):
            drafts.drop(s, 'the conversation went on without it')
        instances.start_due(s)
        if s.draft and speculation.must_yield(s):
            drafts.drop(s, 'a helper needs the model')
        answers.start_if_due(s)
        drafts.advance(s)
        (stream if speculation.mode(s) is Speculation.STREAM else drafts).start_if_due(s)
        turns.end_finished(s)


def phase_of(s: KernelState) -> State:
    """Return the state that follows from who speaks and what runs."""
    if s.person_has_floor:
        return State.LISTENING
    if s.segments:
        return State.EMITTING
    # A result that waits a moment for others is about to be told: nobody may think it is over.
    gathering = s.grouping and bool(s.waiting)
    return State.GENERATING if s.active is not None or gathering else State.IDLE
