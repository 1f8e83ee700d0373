"""The messages of a prompt: what each holds, how one of the model's own reads, what is answered."""
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, List, Sequence, Tuple

from async_agent_ros.core.chatml_format import PromptFormat
from async_agent_ros.core.chatml_text import escape

START, END = '<|im_start|>', '<|im_end|>'
NS_PER_S = 1_000_000_000


@dataclass
class Message:
    """One message; an assistant message collects the stretches and calls of its generation."""

    text: str = ''
    seq: int = -1
    """Of its first entry."""
    generation_id: int = 0
    parts: List[Tuple[int, bool, str]] = field(default_factory=list)
    """seq, whether it is speech, text."""
    heard: Dict[int, str] = field(default_factory=dict)
    """What was heard of the stretch with this seq, which was cut off."""
    cut: bool = False
    """Cut off before any stretch was written."""
    partial: bool = False
    """The words of a person who goes on."""
    reacts: bool = False
    """What the model wrote to such words."""
    call_id: str = ''
    """The call that it is about."""
    ran: FrozenSet[str] = frozenset()
    """The calls that ran when it came, where it is not the model's own."""
    block: str = ''
    """What is said of these calls before it, while it is not answered."""


def header(role: str, since_ns: int, settings: PromptFormat) -> str:
    """Return the line that opens a message; `since_ns`: since the session began."""
    clock = ''
    if role in settings.clock_roles:
        clock = settings.clock.format(seconds=max(0, since_ns) / NS_PER_S)
    return f'{START}{settings.roles.get(role, role)}{clock}\n'


def own_text(message: Message, interrupt_mark: str) -> str:
    """Return what the model wrote, as far as it was heard."""
    lines, cut = [], False
    for seq, speech, text in message.parts:
        if not speech:
            lines.append(text)
        elif seq in message.heard:
            heard = message.heard[seq]
            if heard or not cut:
                lines.append(f'{escape(heard)} ' * bool(heard) + interrupt_mark)
            cut = True
        elif not cut and text:
            # stretches after the one that was cut off were never heard
            lines.append(escape(text))
    if message.cut and not cut:
        lines.append(interrupt_mark)
    return '\n'.join(lines)


def up_to_own(messages: Sequence[Message]) -> int:
    """Return how many messages there are up to the model's last own one, at least the head."""
    own = len(messages)
    while own > 1 and not messages[own - 1].parts:
        own -= 1
    return own


def first_unanswered(messages: Sequence[Message]) -> int:
    """Return the place of the first message that no words of the model followed."""
    first = own = up_to_own(messages)
    while first > 1 and not any(speech for _, speech, _ in messages[first - 1].parts):
        first -= 1
    # Words that go on are reacted to one after the other: nothing is put before them.
    return own if any(m.partial for m in messages[first:]) else first
