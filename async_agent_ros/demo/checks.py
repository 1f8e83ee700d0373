"""What has to be true of the conversation of `make run`; each check says expected and got."""
import collections
import difflib
import json
import re
from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from async_agent_ros.demo import scenario
from async_agent_ros.demo.scenario import Line, seconds, spoken_after
from async_agent_ros.watch.view import AgentView, compact

HEARD_RATIO = 0.6
SILENT_WITHIN_S = 1.0
SOFT_NS = 100_000_000
"""A voice that begins softly may be noticed so long before its line counts as begun."""

_ARRIVAL = re.compile(
    r"\b(arrived|arrival|reached|got to|made it|(?:am|'m|are|is|now) (?:now )?"
    rf'(?:here|there|(?:in|at) the {scenario.DESTINATION}))\b')

Sounds = Sequence[Tuple[int, int]]
"""Where the robot's side of the recording sounds, (onset, end) in nanoseconds."""

_ONES = {word: value for value, word in enumerate(
    'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen '
    'fifteen sixteen seventeen eighteen nineteen'.split())}
_TENS = {word: value * 10 for value, word in enumerate(
    'twenty thirty forty fifty sixty seventy eighty ninety'.split(), 2)}


@dataclass(frozen=True)
class Check:
    """One thing that was expected of the conversation, and what came."""

    name: str
    expected: str
    got: str
    ok: bool


def words(text: str) -> List[str]:
    """Return the words of a text in lower case."""
    return re.findall(r"[a-z0-9']+", text.lower())


def numbers(text: str) -> List[float]:
    """Return the numbers of a text, in digits or words: '81.6', 'eighty-one'."""
    found = [float(n) for n in re.findall(r'\d+(?:\.\d+)?', text)]
    given = re.findall(r'[a-z]+', text.lower())
    for index, word in enumerate(given):
        if word in _TENS:
            following = _ONES.get(given[index + 1], 99) if index + 1 < len(given) else 99
            found.append(float(_TENS[word] + (following if following < 10 else 0)))
        elif word in _ONES:
            found.append(float(_ONES[word]))
    return found


def heard_text(view: AgentView, line: Line) -> str:
    """Return what was recognised while a line was spoken (a pause may have split it)."""
    return ' '.join(u.text for u in view.utterances.values()
                    if u.text and u.onset_ns < line.end_ns
                    and (u.end_ns or u.onset_ns) > line.onset_ns)


def response_s(sounds: Sounds, line: Line) -> Optional[float]:
    """Return the seconds from the true end of a line to the robot's next sound."""
    after = [onset for onset, _ in sounds if onset >= line.end_ns]
    return seconds(line.end_ns, min(after)) if after else None


def yield_s(sounds: Sounds, line: Line) -> Optional[float]:
    """Return how long the robot went on after the onset of a line; None when it was silent."""
    from_ns = line.onset_ns - SOFT_NS
    if not any(onset <= line.onset_ns and end > from_ns for onset, end in sounds):
        return None
    talking = [end for onset, end in sounds if onset < line.end_ns and end > from_ns]
    return max(0.0, seconds(line.onset_ns, max(talking)))


def silence(sounds: Sounds, line: Line, *, cut_off: bool) -> Check:
    """
    Check that the robot fell silent for a line that interrupts it.

    `cut_off`: it had more to say, so where it was between two sentences it held the next one.
    """
    silent = yield_s(sounds, line)
    got = 'the robot was not speaking' if silent is None else f'{silent:.2f} s'
    if silent is None and cut_off:
        said = [end for onset, end in sounds if line.onset_ns < onset < line.end_ns]
        silent = seconds(line.onset_ns, max(said)) if said else 0.0
        got = f'{silent:.2f} s, it was between two sentences'
    return Check('silent', f'within {SILENT_WITHIN_S:g} s of the interruption', got,
                 silent is not None and silent <= SILENT_WITHIN_S)


def _was_heard(view, line):
    got = heard_text(view, line)
    ratio = difflib.SequenceMatcher(None, words(line.text), words(got)).ratio()
    return Check('heard', f'"{line.text}"', f'"{got}"', ratio >= HEARD_RATIO)


def _drives(view):
    call = scenario.drive(view)
    expected = f'{scenario.DRIVE_TOOL}(place={scenario.DESTINATION}) succeeded, not cancelled'
    if call is None:
        return Check('drive', expected, 'no such call', False)
    got = f'{call.name}({compact(call.arguments or {})}) {call.status or "still runs"}'
    return Check('drive', expected, got + (f': {call.error}' if call.error else ''),
                 call.status == 'succeeded'
                 and scenario.DESTINATION in str(call.arguments).lower())


def _battery(view, line, next_line):
    call = next((c for c in view.calls.values()
                 if c.name == scenario.BATTERY_TOOL and c.called_ns > line.onset_ns), None)
    drive = scenario.drive(view)
    checks = []
    if call is None or drive is None:
        got, ok = 'no call of ' + scenario.BATTERY_TOOL, False
    else:
        during = call.called_ns < (drive.ended_ns or 2**63)
        got = (f'{call.status or "still runs"}, '
               f'{"while driving" if during else "after the drive"}')
        ok = call.status == 'succeeded' and during
    checks.append(Check('call on the way',
                        f'{scenario.BATTERY_TOOL} succeeded, while driving', got, ok))
    told = ' '.join(spoken_after(view, line.end_ns, next_line.onset_ns if next_line else 2**63))
    percent = call.result.get('percent') if call and isinstance(call.result, Mapping) else None
    if percent is not None:
        ok = any(abs(n - percent) <= 1.0 for n in numbers(told))
    else:
        ok = False
    checks.append(Check('battery told', f'{percent} percent' if percent is not None
                        else 'the battery level', f'"{told}"', ok))
    return checks


def _interruption(view, line, sounds):
    entry = next((e for e in view.ledger if e.kind == 'interrupt'
                  and scenario.to_ns(e.stamp) > line.onset_ns), None)
    content = json.loads(entry.content) if entry is not None else {}
    heard, intended = content.get('heard', ''), content.get('intended', '')
    checks = [Check('interrupted', 'the ledger holds what was heard, less than what was intended',
                    f'heard {compact(heard, 60)!r} of {compact(intended, 60)!r}'
                    if entry is not None else 'no interrupt in the ledger',
                    entry is not None and len(heard.strip()) < len(intended.strip()))]
    checks.append(silence(sounds, line, cut_off=checks[0].ok))
    told = spoken_after(view, line.end_ns)
    checks.append(Check('new question answered', 'an answer after the interruption',
                        f'"{told[0]}"' if told else 'nothing', bool(told)))
    return checks


def _arrival(view):
    call = scenario.drive(view)
    told = ' '.join(spoken_after(view, call.ended_ns)) if call and call.ended_ns else ''
    return Check('arrival announced', f'that it is in the {scenario.DESTINATION}',
                 f'"{compact(told, 120)}"' if told else 'nothing',
                 bool(_ARRIVAL.search(told.lower())))


def _one_end_each(entries):
    ends = collections.Counter(e.call_id for e in entries if e.kind == 'result')
    called = {e.call_id for e in entries if e.kind == 'call'}
    wrong = sorted(c for c in called | set(ends) if ends[c] != 1)
    return Check('one result per call', f'{len(called)} calls with one result each',
                 f'{len(called) - len(wrong)} with one'
                 + (f'; not: {", ".join(wrong)}' if wrong else ''), not wrong)


def _whole(entries):
    seqs = [e.seq for e in entries]
    return Check('ledger', 'entries without a gap',
                 f'{len(seqs)} entries' + ('' if seqs == list(range(len(seqs)))
                                           else ', with gaps'),
                 bool(seqs) and seqs == list(range(len(seqs))))


def evaluate(view: AgentView, lines: Sequence[Line], sounds: Sounds,
             entries: Sequence[Any]) -> List[Check]:
    """
    Check a conversation: what is known about the agent, the lines as spoken, the robot's sounds.

    `entries` is the ledger as get_ledger served it.
    """
    by_text = {line.text: line for line in lines}
    checks = [_was_heard(view, line) for line in lines]
    missing = [text for text in scenario.LINES if text not in by_text]
    if missing:
        checks.append(Check('all lines said', f'{len(scenario.LINES)} lines',
                            f'{len(lines)}; not: "{missing[0]}"', False))
    checks.append(_drives(view))
    if scenario.BATTERY in by_text:
        checks += _battery(view, by_text[scenario.BATTERY], by_text.get(scenario.ABILITIES))
    if scenario.BARGE_IN in by_text:
        checks += _interruption(view, by_text[scenario.BARGE_IN], sounds)
    checks += [_arrival(view), _one_end_each(entries), _whole(entries)]
    return checks
