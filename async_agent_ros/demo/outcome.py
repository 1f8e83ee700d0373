"""What is left of a run: the files of its folder and a short summary."""
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence

from async_agent_ros.demo.checks import Check, heard_text, response_s, yield_s
from async_agent_ros.record.reader import BagReadError, ledger_lines
from async_agent_ros.record.report import write_report
from async_agent_ros.record.stereo import mix, RATE, write_stereo
from async_agent_ros.record.timeline import Timeline
from async_agent_ros.watch.view import compact, NS_PER_S

Print = Callable[[str], None]


@dataclass
class Outcome:
    """The folder of a run after its end."""

    folder: Path
    entries: List[Any] = field(default_factory=list)
    """The ledger, LedgerEntry messages."""
    timeline: Optional[Timeline] = None
    problems: List[str] = field(default_factory=list)

    def write(self) -> None:
        """Write ledger.jsonl, person_robot.wav and report.html; what fails stands in problems."""
        with open(self.folder / 'ledger.jsonl', 'w', encoding='utf-8') as file:
            file.writelines(line + '\n' for line in ledger_lines(self.entries))
        try:
            self.timeline = t = write_report(self.folder, self.folder / 'report.html')
        except (BagReadError, OSError) as error:
            self.problems.append(f'no report: {error}')
            return
        if t.person.span_ns != (0, 0) or t.robot.span_ns != (0, 0):
            spans = [s for s in (t.person.span_ns, t.robot.span_ns) if s != (0, 0)]
            frames = mix(t.person, t.robot, min(s[0] for s in spans), max(s[1] for s in spans))
            write_stereo(self.folder / 'person_robot.wav', frames, RATE)

    @property
    def sounds(self):
        """Where the robot sounds in the recording, seen from outside."""
        return self.timeline.robot.sounds() if self.timeline else []


def _ms(value: Optional[float]) -> str:
    return '–' if value is None or value < 0 else f'{value:.2f} s'


def print_lines(outcome: Outcome, lines: Sequence[Any], out: Print) -> None:
    """Print what was said, heard and how long the answer took, measured on the recording."""
    sounds = outcome.sounds
    out('')
    out(f'{"answer after":>13}  {"said":<46}  heard')
    for line in lines:
        silent = yield_s(sounds, line)
        note = '' if silent is None else f'   (interrupts: silence after {silent:.2f} s)'
        out(f'{_ms(response_s(sounds, line)):>13}  {line.text:<46}  '
            f'{heard_text(outcome.timeline.view, line) or "–"}{note}')


def print_turns(timeline: Timeline, out: Print) -> None:
    """Print the agent's own measurement of every answer."""
    out('')
    out(f'{"answer":>13}  {"trigger":<12}  {"first token":>11}  {"tokens/s":>8}  said')
    for m in timeline.turns:
        said = ''.join(s.text for s in timeline.view.segments.values()
                       if s.generation_id == m.generation_id)
        speed = f'{m.tokens_per_s:.0f}' if m.tokens_per_s > 0 else '–'
        out(f'{_ms(m.response_s):>13}  {m.trigger:<12}  {_ms(m.first_token_s):>11}  {speed:>8}  '
            f'{compact(said.strip(), 70) or "–"}'
            + ('  [cut off]' if m.interrupted else ''))


def print_checks(checks: Sequence[Check], out: Print) -> None:
    """Print every check of the conversation."""
    out('')
    for check in checks:
        mark = 'ok  ' if check.ok else 'FAIL'
        out(f'{mark}  {check.name}: expected {check.expected}; got {check.got}')


def print_folder(outcome: Outcome, out: Print) -> None:
    """Print what lies in the folder."""
    out('')
    for problem in outcome.problems:
        out(f'FAIL  {problem}')
    about = {'report.html': 'open it in a browser', 'ledger.jsonl': 'what happened, in order',
             'person_robot.wav': 'person left, robot right',
             'bag': 'for ros2 bag info, ros2 bag play, Foxglove',
             'nodes.log': 'what the nodes printed'}
    for name, text in about.items():
        path = outcome.folder / name
        if path.exists():
            out(f'{path}  ({text})')


def length_s(timeline: Timeline) -> float:
    """Return the length of a run in seconds."""
    return (timeline.end_ns - timeline.start_ns) / NS_PER_S
