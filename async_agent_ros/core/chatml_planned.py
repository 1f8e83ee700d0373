"""What words that go on have led to, and the number that the model's next call has."""
from dataclasses import dataclass
import re
from typing import FrozenSet

_CALL_ID = re.compile('c([0-9]{1,9})')


@dataclass
class Planned:
    """Told of what one instance hears and writes."""

    calls: FrozenSet[str] = frozenset()
    """The calls that words which have not been answered have led to, and that stand."""
    removed: FrozenSet[str] = frozenset()
    """Those that they have led to and that were taken back."""
    starts_anew: bool = False
    """The final words stand alone: all that they had led to before was taken back."""
    _since: int = -1
    """The seq of the oldest words that went on and have not been answered, -1: there are none."""
    _number: int = 0
    """The highest number of a call so far."""

    @property
    def next_call(self) -> int:
        """The number of the model's next call, 0 where it may be an earlier one: an edit."""
        return 0 if self.calls else self._number + 1

    def goes_on(self, seq: int) -> None:
        """Take note of words that go on."""
        if self._since < 0:
            self._since = seq

    def is_whole(self, first_seq: int) -> None:
        """
        Take note of final words, and of where they began.

        Other words may stand before them that nothing came of: what those led to is not theirs.
        """
        self.starts_anew = bool(self.removed) and not self.calls and first_seq == self._since

    def add(self, call_id: str) -> None:
        """Take note of a call."""
        if self._since >= 0:
            self.calls |= {call_id}
        if number := _CALL_ID.fullmatch(call_id):
            self._number = max(self._number, int(number[1]))

    def remove(self, call_id: str) -> None:
        """Take note that a call is withdrawn."""
        if call_id in self.calls:
            self.calls -= {call_id}
            self.removed |= {call_id}

    def answered(self) -> None:
        """Take note that whole words were answered: what was planned is work like any other."""
        self.calls, self.removed = frozenset(), frozenset()
        self.starts_anew, self._since = False, -1
