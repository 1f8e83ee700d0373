"""
Training samples: text as the model reads it at run time, and which characters of it are its own.

A sample is one or more generations. Where the next prompt is the last one with the answer and more,
both are one text; where a block of running calls or an interruption changes the prompt, a new text
begins. So every span was written with exactly the text before it.
"""
from dataclasses import dataclass, field
import json
from typing import Any, Dict, Iterable, List, Sequence, Tuple

from async_agent_ros.core.chatml_message import END
from async_agent_ros.training.simulation import Turn


@dataclass
class Sample:
    """A text, and the stretches of it that the model wrote."""

    text: str
    spans: List[Tuple[int, int]]
    """Half-open ranges of characters, ascending; each ends with the mark of the message's end."""
    instance: str = 'main'
    about: Dict[str, Any] = field(default_factory=dict)
    """Split, shapes, mode: for the data card and for people."""

    def to_json(self) -> str:
        """Return the JSON line."""
        return json.dumps({**self.about, 'instance': self.instance,
                           'spans': [list(s) for s in self.spans], 'text': self.text},
                          ensure_ascii=False, separators=(',', ':'))

    @classmethod
    def from_json(cls, line: str) -> 'Sample':
        """Invert to_json()."""
        value = json.loads(line)
        spans = [(a, b) for a, b in value.pop('spans')]
        return cls(value.pop('text'), spans, value.pop('instance'), value)

    @property
    def pieces(self) -> List[Tuple[str, bool]]:
        """The text cut at the borders of the spans: (text, whether the model wrote it)."""
        found, at = [], 0
        for begin, end in self.spans:
            if begin > at:
                found.append((self.text[at:begin], False))
            found.append((self.text[begin:end], True))
            at = end
        if at < len(self.text):
            found.append((self.text[at:], False))
        return found


def samples_of(turns: Sequence[Turn], about: Dict[str, Any]) -> List[Sample]:
    """Return the samples of a conversation, in the order in which they begin."""
    made: List[Sample] = []
    open_ones: Dict[str, Sample] = {}
    for turn in turns:
        before = open_ones.get(turn.instance)
        if before is None or not turn.prompt.startswith(before.text):
            before = Sample('', [], turn.instance, dict(about))
            made.append(before)
            open_ones[turn.instance] = before
        before.text = turn.prompt + turn.completion + END
        before.spans.append((len(turn.prompt), len(before.text)))
    return made


def read(path) -> Iterable[Sample]:
    """Yield the samples of a file of JSON lines."""
    with open(path, encoding='utf-8') as file:
        for line in file:
            if line.strip():
                yield Sample.from_json(line)
