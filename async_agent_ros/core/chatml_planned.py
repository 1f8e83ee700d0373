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
    _open: bool = False
    """Words that went on have not been answered."""
    _number: int = 0
    """The highest number of a call so far."""

    @property
    def next_call(self) -> int:
        """The number of the model's next call, 0 where it may be an earlier one: an edit."""
        return 0 if self.calls else self._number + 1

    @property
    def came_to_nothing(self) -> bool:
        """Tell whether all that words have led to was taken back."""
        return bool(self.removed) and not self.calls

    def goes_on(self) -> None:
        """Take note of words that go on."""
        self._open = True

    def add(self, call_id: str) -> None:
        """Take note of a call."""
        if self._open:
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
        self.calls, self.removed, self._open = frozenset(), frozenset(), False
