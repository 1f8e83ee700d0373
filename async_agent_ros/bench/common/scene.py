"""What happened in a conversation until the model must answer, written as ledger entries."""
import json
import re
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple, Union

from async_agent_ros.core.ledger import Entry
from async_agent_ros.core.tools import canonical_json, ToolSpec
from async_agent_ros.core.words import Kind

S = 1_000_000_000


class Scene:
    """Writes the entries of a conversation, one second apart unless told otherwise."""

    def __init__(self, specs: Sequence[ToolSpec], persona: str = ''):
        self.entries: List[Entry] = []
        self.clock_s = 0.0
        self._generation = 0
        if persona:
            self._add(Kind.SYSTEM, persona)
        self._add(Kind.SYSTEM, {'added': [s.to_json() for s in specs], 'removed': [],
                                'server': '/agent/sim_robot'}, name='tools')
        self.clock_s = 4.0

    def _add(self, kind, content, **fields) -> 'Scene':
        text = content if isinstance(content, str) else json.dumps(content)
        self.entries.append(Entry(len(self.entries), int(self.clock_s * S), kind, text, **fields))
        return self

    def after(self, seconds: float) -> 'Scene':
        """Let time pass."""
        self.clock_s += seconds
        return self

    def user(self, text: str) -> 'Scene':
        """Let the person say something."""
        self.after(1.0)
        return self._add(Kind.USER, text, name='speech')

    def says(self, *texts: str, calls: Sequence[Tuple[str, str, Mapping[str, Any]]] = ()
             ) -> 'Scene':
        """Let the model write text, then calls (id, tool, arguments), which are committed."""
        self.after(1.0)
        self._generation += 1
        for text in texts:
            self._add(Kind.ASSISTANT, text, generation_id=self._generation)
        for call_id, name, arguments in calls:
            self._add(Kind.CALL, {'arguments': arguments}, call_id=call_id, name=name,
                      generation_id=self._generation)
        self._add(Kind.END, {'finish_reason': 'stop'}, status='succeeded',
                  generation_id=self._generation)
        for call_id, name, _ in calls:
            self._add(Kind.COMMIT, {}, call_id=call_id, name=name)
        return self

    def calls(self, call_id: str, name: str, **arguments) -> 'Scene':
        """Let the model call one tool and nothing else."""
        return self.says(calls=[(call_id, name, arguments)])

    def accepted(self, call_id: str) -> 'Scene':
        """Let the server take the call."""
        return self._add(Kind.NOTIFICATION, {'progress': -1.0, 'text': 'accepted'},
                         name='accepted', call_id=call_id)

    def progress(self, call_id: str, value: float, text: str) -> 'Scene':
        """Let the call report."""
        return self.after(1.0)._add(Kind.NOTIFICATION, {'progress': value, 'text': text},
                                    name='progress', call_id=call_id)

    def result(self, call_id: str, status: str, value: Any = None, error: str = '') -> 'Scene':
        """End the call."""
        return self._add(Kind.RESULT, {'error_code': 0 if not error else 702, 'error_msg': error,
                                       'result': value, 'elapsed_s': 5.0},
                         call_id=call_id, status=status)

    def due(self, call_id: str, text: str) -> 'Scene':
        """Let a timer that repeats run out once."""
        return self._add(Kind.NOTIFICATION, {'text': text}, name='timer', call_id=call_id)

    def heard(self, text: str) -> 'Scene':
        """Cut off the last assistant text: only `text` of it was heard."""
        spoken = [e for e in self.entries if e.kind == Kind.ASSISTANT][-1]
        return self._add(Kind.INTERRUPT, {'heard': text, 'intended': spoken.content,
                                          'reason': 'barge-in', 'scope': 'speech'},
                         about_seq=spoken.seq, generation_id=spoken.generation_id)

    def driving(self, place: str = 'kitchen', left: str = '3.2 m left', done: float = 0.55,
                call_id: str = 'c1') -> 'Scene':
        """Order a drive that goes on."""
        return (self.user(f'Go to the {place}.').calls(call_id, 'navigate_to', place=place)
                .accepted(call_id).says('I am on my way.').progress(call_id, done, left))


@dataclass(frozen=True)
class Situation:
    """What happened, and what a right answer is."""

    name: str
    group: str
    build: Callable[[Scene], Scene]
    calls: Tuple[Tuple[str, Union[Mapping[str, Any], 're.Pattern[str]']], ...] = ()
    """
    The calls that the answer must hold, no others: tool and arguments, or a regular expression
    for the whole of their canonical JSON.
    """
    must: str = ''
    """Regular expression that the spoken words must match, case ignored."""
    must_not: str = ''
    text: Optional[bool] = None
    """Whether words are required (True), or forbidden (False)."""
    longest_words: int = 30
    refused: bool = False
    """A call that the check of arguments refuses is right too: the person is told then."""

    def calls_are(self, made: Sequence[Tuple[str, Mapping[str, Any]]]) -> bool:
        """Return whether the calls are the expected ones, in any order."""
        left = list(made)
        for name, wanted in self.calls:
            fitting = [call for call in left if call[0] == name and _fits(call[1], wanted)]
            if not fitting:
                return False
            left.remove(fitting[0])
        return not left


def _fits(arguments, wanted):
    if isinstance(wanted, re.Pattern):
        return wanted.fullmatch(canonical_json(arguments)) is not None
    return arguments == dict(wanted)
