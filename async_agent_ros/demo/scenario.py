"""
The conversation of `make run`: what the person says, and the cue for each line.

A cue is a condition on what is known about the agent, never a time: the person asks about the
battery because the robot drives, and interrupts because the robot has begun to explain. Each cue
has a deadline, and some know when waiting has become pointless.
"""
from dataclasses import dataclass
from typing import Callable, List, Optional, Protocol

from async_agent_ros.watch.speculation import DRAFT
from async_agent_ros.watch.view import AgentView, compact, NS_PER_S, to_ns

DESTINATION = 'kitchen'
DRIVE_TOOL = 'navigate_to'
BATTERY_TOOL = 'get_battery'

ORDER = 'Please drive to the kitchen.'
BATTERY = 'What is your battery level?'
ABILITIES = 'What can you do for me, explain it in detail.'
BARGE_IN = 'Wait, how far is it to the kitchen?'
THANKS = 'Thank you very much.'
LINES = (ORDER, BATTERY, ABILITIES, BARGE_IN, THANKS)

BARGE_IN_AFTER_S = 1.0
"""Seconds of the long answer that are heard before the person interrupts it."""

ONSET_S = 0.7
"""At most this passes between the person's decision to speak and the first sound."""

CUE_TIMEOUT_S = 120.0
LISTEN_S = 0.8


class Line(Protocol):
    """A line that was spoken, see microphone.SpokenLine."""

    text: str
    onset_ns: int
    end_ns: int


class CueError(Exception):
    """A cue did not come. The message says what was expected and what there was instead."""


@dataclass(frozen=True)
class Cue:
    """What the person waits for before saying the next line."""

    what: str
    holds: Callable[[AgentView], bool]
    hopeless: Optional[Callable[[AgentView], str]] = None
    """Returns why it cannot come any more, '' while it still can."""
    timeout_s: float = CUE_TIMEOUT_S
    steady_s: float = 0.0
    """It must hold for so long: a person listens whether there is more to come."""


def situation(view: AgentView) -> str:
    """Return in one line what the agent is doing, for messages."""
    heard = next((u.text for u in reversed(view.utterances.values()) if u.final), '')
    said = next((s.text.strip() for s in reversed(view.segments.values()) if s.started_ns), '')
    calls = ', '.join(f'{c.call_id} {c.name} {c.status or c.phase}'
                      + (f' ({c.error})' if c.error else '') for c in view.calls.values())
    return (f'state {view.state or "unknown"}; last heard {compact(heard, 80)!r}; '
            f'last said {compact(said, 80)!r}; calls: {calls or "none"}')


def drive(view: AgentView):
    """Return the drive to the destination, None before it is called."""
    return next((c for c in reversed(view.calls.values()) if c.name == DRIVE_TOOL), None)


def answered(view: AgentView, since_ns: int) -> bool:
    """Tell whether something was said to the end since then, and nothing is left to say."""
    return view.quiet and any(s.started_ns > since_ns for s in view.segments.values())


def generation_ended(view: AgentView, since_ns: int) -> bool:
    """Tell whether words were taken in since then and a generation after them has ended."""
    words = [e for e in view.ledger if e.kind == 'user' and e.name != 'partial'
             and to_ns(e.stamp) > since_ns]
    return bool(words) and any(
        e.kind == 'end' and e.generation_id and e.instance != DRAFT and e.seq > words[0].seq
        for e in view.ledger)


def heard_s(view: AgentView, since_ns: int) -> float:
    """Return the seconds of speech that the robot has played of what was released since then."""
    return sum(s.played_s for s in view.segments.values() if s.said_ns > since_ns)


def ready() -> Cue:
    """Return the cue for the first line."""
    return Cue('the agent is idle and knows how to drive', lambda view: (
        view.state == 'idle' and any(DRIVE_TOOL in tools for tools in view.tools.values())))


def driving(line: Line) -> Cue:
    """Return the cue: the robot is on its way and has said so, if it wanted to."""
    def holds(view):
        call = drive(view)
        return call is not None and not call.status and call.phase == 'running' and view.quiet

    def hopeless(view):
        call = drive(view)
        if call is not None and call.status:
            return f'the drive has ended already: {call.status} {call.error}'
        if call is None and generation_ended(view, line.end_ns) and view.quiet:
            return f'it answered without calling {DRIVE_TOOL}'
        return ''

    return Cue('the robot is driving', holds, hopeless, steady_s=LISTEN_S)


def replied(line: Line, what: str) -> Cue:
    """Return the cue: the robot has answered a line and is quiet again."""
    return Cue(what, lambda view: generation_ended(view, line.end_ns)
               and answered(view, line.end_ns), steady_s=LISTEN_S)


def explaining(line: Line) -> Cue:
    """Return the cue: the robot is in the middle of a long answer."""
    def holds(view):
        playing = view.playing
        if playing is None or heard_s(view, line.end_ns) < BARGE_IN_AFTER_S:
            return False
        # Into a sentence, not into the pause behind it.
        return playing.duration_s < 0 or playing.duration_s - playing.played_s > ONSET_S

    def hopeless(view):
        if generation_ended(view, line.end_ns) and answered(view, line.end_ns):
            return f'its answer was over after {heard_s(view, line.end_ns):.1f} s'
        return ''

    return Cue(f'the robot has spoken {BARGE_IN_AFTER_S:g} s of its answer', holds, hopeless)


def arrived() -> Cue:
    """Return the cue: the drive has ended and the robot has told it."""
    def holds(view):
        call = drive(view)
        return call is not None and bool(call.status) and answered(view, call.ended_ns)

    return Cue('the robot has announced the end of the drive', holds, timeout_s=180.0,
               steady_s=LISTEN_S)


def finished(line: Line) -> Cue:
    """Return the cue that ends the conversation: the last line was taken in."""
    return Cue('the robot has taken the thanks', lambda view: (
        generation_ended(view, line.end_ns) and view.quiet), steady_s=LISTEN_S)


Say = Callable[[str], Line]
Wait = Callable[[Cue], None]


def converse(say: Say, wait: Wait, hurry: Callable[[], None] = lambda: None) -> None:
    """
    Hold the conversation: `say` speaks a line to its end, `wait` waits for a cue.

    `hurry` lets the robot drive faster, once all that is to be said on the way is said. Raises
    CueError from `wait` when the conversation does not hold.
    """
    wait(ready())
    wait(driving(say(ORDER)))
    wait(replied(say(BATTERY), 'the robot has told its battery level'))
    wait(explaining(say(ABILITIES)))
    wait(replied(say(BARGE_IN), 'the robot has answered the new question'))
    hurry()
    wait(arrived())
    wait(finished(say(THANKS)))


def seconds(from_ns: int, to_moment_ns: int) -> float:
    """Return the seconds between two moments."""
    return (to_moment_ns - from_ns) / NS_PER_S


def spoken_after(view: AgentView, since_ns: int, until_ns: int = 2**63) -> List[str]:
    """Return what the robot said that began between two moments."""
    return [s.text.strip() for s in view.segments.values()
            if since_ns < s.started_ns < until_ns]
