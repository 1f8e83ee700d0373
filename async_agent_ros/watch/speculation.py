"""What was done before the words were final, as the metrics of a turn tell it, for people."""
from typing import Any, Mapping, NamedTuple, Tuple, Union

DRAFT = 'draft'
"""Instance of the ledger whose entries nobody asked for: drafts, and the reads made for them."""


class Speculation(NamedTuple):
    """The fields of TurnMetrics about speculation; all 0 where none was made."""

    early: bool = False
    drafts: int = 0
    wasted_tokens: int = 0
    early_calls: int = 0
    early_hits: int = 0
    wasted_tool_s: float = 0.0
    lead_s: float = 0.0
    paused: Tuple[str, ...] = ()

    @classmethod
    def of(cls, source: Union[Mapping[str, Any], Any]) -> 'Speculation':
        """Take it from a TurnMetrics message or from counts by name; what is missing is 0."""
        def get(name, default=0):
            return (source.get(name, default) if isinstance(source, Mapping)
                    else getattr(source, name, default))
        return cls(bool(get('early')), int(get('drafts')), int(get('wasted_tokens')),
                   int(get('early_calls')), int(get('early_hits')),
                   round(float(get('wasted_tool_s')), 3), round(float(get('lead_s')), 3),
                   tuple(get('speculation_paused', ())))

    @property
    def made(self) -> bool:
        """Whether anything was done before the words were final."""
        return bool(self.early or self.drafts or self.early_calls)

    def text(self) -> str:
        """Return it as one line, '' where nothing was done early."""
        parts = []
        if self.early:
            parts.append('answer begun early')
        if self.drafts:
            parts.append(f'{self.drafts} draft{"" if self.drafts == 1 else "s"}')
        if self.early_calls:
            parts.append(f'{self.early_hits} of {self.early_calls} early reads used'
                         + (f', {self.lead_s:.2f} s ahead' if self.lead_s > 0 else ''))
        if self.wasted_tokens:
            parts.append(f'{self.wasted_tokens} tokens wasted')
        if self.wasted_tool_s >= 0.05:
            parts.append(f'{self.wasted_tool_s:.1f} s of tools wasted')
        if self.paused:
            parts.append('not read early: ' + ', '.join(self.paused))
        return '; '.join(parts)


def total(turns) -> Speculation:
    """Return the sums over the turns; lead_s is the longest, early whether any was."""
    turns = list(turns)
    return Speculation(
        any(t.early for t in turns), *(sum(getattr(t, name) for t in turns) for name in (
            'drafts', 'wasted_tokens', 'early_calls', 'early_hits')),
        round(sum(t.wasted_tool_s for t in turns), 3),
        max((t.lead_s for t in turns), default=0.0),
        tuple(dict.fromkeys(name for t in turns for name in t.paused)))
