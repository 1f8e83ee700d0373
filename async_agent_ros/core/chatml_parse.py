"""
What a language model writes, as a stream of events: text to speak, calls, removals, refusals.

Total: any text in any chunking gives the same events and never an exception. It works character
by character in three layers: tags and special tokens are taken out, then lines are told apart
(call, removal, code fence, role header, text), then text is cut into pieces for speech.
"""
import re
from dataclasses import dataclass
from typing import List, Optional, Union

from async_agent_ros.core.chatml_calls import BROKEN, Call, CLOSED, early_id, JsonScanner
from async_agent_ros.core.chatml_calls import parsed_call, Rejected, TOO_LONG
from async_agent_ros.core.chatml_format import PAUSE_MARK, PromptFormat
from async_agent_ros.core.sentences import Cutting, SentenceCutter

MOST_TAG_CHARS = 40

_ROLES = ('assistant', 'user', 'system', 'notification')
_ROLE_LINE = re.compile(r'(assistant|user|system|notification)(:| ?\d+(\.\d+)?s)?\s*\Z')
_TAGS = ('<pause>', '<partial>', '<final>', '<tool_call>', '</tool_call>', '<tools>', '</tools>',
         '<tool_response>', '</tool_response>', '<think>', '</think>', '<s>', '</s>')
_ENDS = ('<|im_end|>', '<|endoftext|>', '</s>')
_BAD_CHARS = re.compile('[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]')


@dataclass(frozen=True)
class Text:
    """A sentence or clause to speak, with its trailing space when more may follow."""

    text: str


@dataclass(frozen=True)
class Remove:
    """The model withdraws a call."""

    id: str


@dataclass(frozen=True)
class Begun:
    """A line that removes nothing has begun: text, or a call with the id that the model gives."""

    id: str


Output = Union[Text, Call, Remove, Rejected, Begun]


class Parser:
    """Feed what the model writes, get events; finish() once at the end."""

    def __init__(self, prompt_format: PromptFormat = PromptFormat(),
                 cutting: Cutting = Cutting(), reacts: bool = False, tell_begun: bool = False):
        """
        Make a parser for one output.

        `reacts`: to words that go on, so that a pause is all that it has to say; `tell_begun`: the
        events hold Begun, too.
        """
        self._marker = prompt_format.call_marker.strip()
        self._remove = prompt_format.remove_marker.strip()
        self._reacts = reacts
        self._cutter = SentenceCutter(cutting)
        self._events: List[Output] = []
        self._tag = ''
        self._thinking = False
        self._header = False
        self._any_output = False
        self._mode = self._line_start
        self._held = ''
        self._json = JsonScanner()
        self._tell_begun = tell_begun
        self._call_told = False
        self.done = False
        """The model has begun another message: what follows is ignored, the engine may stop."""

    def feed(self, text: str) -> List[Output]:
        """Take more text; return the events that it completed."""
        for char in _BAD_CHARS.sub('', text.replace('\r', '\n')):
            if self.done:
                break
            self._feed_tag(char)
        return self._taken()

    def finish(self) -> List[Output]:
        """End the text; return the events that were still open."""
        if not self.done:
            self._end_tag()
            self._end_line()
        self.done = True
        self._say_rest()
        return self._taken()

    def _taken(self) -> List[Output]:
        events, self._events = self._events, []
        return events

    # -- first layer: tags and special tokens ------------------------------------------------------
    def _feed_tag(self, char: str) -> None:
        if self._mode == self._in_call and self._json.in_string:
            self._feed_line(char)  # inside a string of a call there are no tags
        elif self._tag:
            self._tag += char
            if self._tag.startswith('<|'):
                if self._tag.endswith('|>') and len(self._tag) > 3:
                    self._take_tag()
                elif char == '\n' or len(self._tag) > MOST_TAG_CHARS:
                    self._drop_tag('', self._tag[2:])
            elif self._tag in _TAGS:
                self._take_tag()
            elif self._tag != '<' and not any(t.startswith(self._tag) for t in _TAGS):
                self._drop_tag('<', self._tag[1:])
        elif char == '<':
            self._tag = char
        else:
            self._pass(char)

    def _drop_tag(self, plain: str, rest: str) -> None:
        """Go on with what looked like a tag and is none; the rest of it may begin one."""
        self._tag = ''
        if plain:
            self._pass(plain)
        for char in rest:
            if self.done:
                break
            self._feed_tag(char)

    def _end_tag(self) -> None:
        tag, self._tag = self._tag, ''
        if tag and not tag.startswith('<|'):
            for char in tag:
                self._pass(char)

    def _take_tag(self) -> None:
        tag, self._tag = self._tag, ''
        if tag == '<think>':
            self._thinking = True
        elif tag == '</think>':
            self._thinking = False
        elif tag in _ENDS or tag == PAUSE_MARK and self._settled():
            self._stop()
        elif tag == '<|im_start|>':
            # a header repeated at the very start is harmless; later it begins another message
            if self._any_output or self._held.strip() or self._mode != self._line_start:
                self._stop()
            else:
                self._header = True
        elif tag == '<tool_call>':
            self._end_line()
            self._begin_call('')
        elif tag == '</tool_call>':
            self._end_line()

    def _settled(self) -> bool:
        """Tell whether a pause on a line of its own ends the output, not only precedes text."""
        return ((self._any_output or self._reacts) and self._mode == self._line_start
                and not self._held.strip())

    def _pass(self, char: str) -> None:
        if self._header:
            self._header = char != '\n'
        elif not self._thinking:
            self._feed_line(char)

    def _stop(self) -> None:
        self._end_line()
        self.done = True

    # -- second layer: lines ----------------------------------------------------------------------
    def _feed_line(self, char: str) -> None:
        self._mode(char)

    def _line_start(self, char: str) -> None:
        """Hold the line back while it may still become something that is not spoken."""
        if char == '\n':
            self._end_held_line()
            return
        self._held += char
        text = self._held.lstrip()
        if text.startswith('`') and not '```'.startswith(text[:3]):
            self._held = text = text.lstrip('`')  # `CALL …` as inline code
        if not text:
            return
        if text == 'assistant:':
            self._held = ''
        elif text.startswith('{'):
            self._begin_call(text)
        elif text.startswith(self._marker) and not _continues(text[len(self._marker):]):
            self._begin_call(text)
        elif not self._may_be_special(text):
            self._read_as_text(text)

    def _read_as_text(self, text: str) -> None:
        self._held = ''
        self._mode = self._in_text
        if any(c.isalnum() for c in text):
            self._tell('')
        for char in text:
            self._mode(char)

    def _may_be_special(self, text: str) -> bool:
        if self._marker.startswith(text) or text.startswith('`'):
            return True
        if self._remove.startswith(text) or text.startswith(self._remove + ' '):
            return len(text) <= MOST_TAG_CHARS * 2
        lowered = text.rstrip()
        return any(r.startswith(lowered) for r in _ROLES) or bool(_ROLE_LINE.match(text)) or bool(
            re.match(r'(assistant|user|system|notification)\s*\d*\.?\d*s?\Z', text))

    def _end_held_line(self) -> None:
        text, self._held = self._held.strip(), ''
        removed = self._remove and text.startswith(self._remove + ' ')
        role = _ROLE_LINE.match(text)
        if removed and len(text.split()) == 2:
            self._say_rest()
            self._emit(Remove(text.split()[1].strip('`.,;"\'')))
        elif removed and '{' in text:
            self._reject(text, f'write {self._remove} and the id of the call')
        elif self._marker and text == self._marker:
            self._begin_call(text)  # its JSON may stand on the next line
            return
        elif text.startswith('```'):
            pass
        elif role and role.group(1) != 'assistant' and self._any_output:
            self.done = True  # the header of a message that is not the model's to write
        elif role:
            pass
        else:
            self._read_as_text(text + '\n')
        self._mode = self._line_start

    def _in_text(self, char: str) -> None:
        """Pass text on, but watch for a marker in the middle of a line."""
        if char == '\n':
            self._release()
            self._write(char)
            self._mode = self._line_start
            return
        self._held += char
        while self._held:
            if self._marker.startswith(self._held) and self._marker:
                return
            if self._marker and self._held.startswith(self._marker):
                rest = self._held[len(self._marker):].lstrip()
                if rest == '{':
                    self._begin_call(self._held)
                    return
                if not rest:
                    return
            self._write(self._held[0])
            self._held = self._held[1:]

    def _release(self) -> None:
        held, self._held = self._held, ''
        self._write(held)

    def _write(self, text: str) -> None:
        for piece in self._cutter.feed(text.translate(_MARKDOWN)):
            self._emit_text(piece)

    # -- calls ------------------------------------------------------------------------------------
    def _begin_call(self, text: str) -> None:
        self._held = ''
        self._say_rest()
        self._json, self._call_told = JsonScanner(), False
        self._mode = self._in_call
        for char in text[len(self._marker):] if text.startswith(self._marker) else text:
            self._in_call(char)

    def _in_call(self, char: str) -> None:
        state = self._json.feed(char)
        if self._tell_begun and not self._call_told:
            self._tell_call(early_id(self._json.body))
        if state == CLOSED:
            self._end_call()
            self._mode = self._after_call
        elif state == BROKEN:
            self._end_call()
            self._mode = self._line_start
            if char != '\n':
                self._mode(char)
        elif state == TOO_LONG:
            self._end_call()
            self._mode = self._skip_line

    def _skip_line(self, char: str) -> None:
        if char == '\n':
            self._mode = self._line_start

    def _end_call(self) -> None:
        scanner, self._json = self._json, JsonScanner()
        self._say_rest()
        parsed = parsed_call(scanner.before.strip(), scanner.body, self._marker)
        if isinstance(parsed, Call) and not self._call_told:
            self._tell_call(parsed.id)
        self._emit(parsed)

    def _after_call(self, char: str) -> None:
        if char == '\n':
            self._mode = self._line_start
        elif not char.isspace() and char not in '}]`;.,)':
            self._mode = self._line_start
            self._line_start(char)

    def _end_line(self) -> None:
        """Close whatever is open, as if a line ended here."""
        if self._mode == self._in_call:
            if self._json.before.strip() or self._json.body:
                self._end_call()
            elif self._marker:
                self._reject(self._marker, 'no JSON object follows')
        elif self._mode == self._in_text:
            self._release()
        elif self._held:
            self._end_held_line()
            if self._mode == self._in_call:
                self._reject(self._marker, 'no JSON object follows')
        self._json = JsonScanner()
        self._mode = self._line_start

    # -- third layer: events ----------------------------------------------------------------------
    def _say_rest(self) -> None:
        for piece in self._cutter.flush():
            self._emit_text(piece)

    def _emit_text(self, piece: str) -> None:
        if any(c.isalnum() for c in piece):  # dots and dashes alone cannot be spoken
            self._emit(Text(piece))

    def _tell_call(self, call_id: Optional[str]) -> None:
        if call_id is not None:
            self._call_told = True
            self._tell(call_id)

    def _tell(self, call_id: str) -> None:
        if self._tell_begun:
            self._events.append(Begun(call_id))

    def _reject(self, raw: str, reason: str) -> None:
        self._say_rest()
        self._emit(Rejected(raw, reason))

    def _emit(self, event: Output) -> None:
        self._any_output = True
        self._events.append(event)


_MARKDOWN = {ord('*'): None, ord('`'): None}


def _continues(rest: str) -> bool:
    """Whether what follows the marker makes it part of a longer word."""
    return not rest or rest[0].isalnum() or rest[0] in "_-'"
