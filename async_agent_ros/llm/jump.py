"""
Jump-forward decoding: what the grammar of a call leaves no choice in is read, not written.

`CALL {"id": "c1", "name": "find_object", "arguments": {"object": "blue cup"}}` has 26 tokens, of
which a model chooses eleven: whether to call, the name, the value, what follows; and the number
where it is not known. The others are put behind the prompt in one pass, which on a CPU costs a
sixth of writing them one by one. So an output is written in stretches, each under the grammar of
what can come there (SGLang's compressed finite state machine, arXiv 2312.07104, with the tokens cut
as the model learned them).
"""
from dataclasses import dataclass
import json
from typing import Any, Dict, List, Optional, Sequence, Tuple

from async_agent_ros.core.chatml_format import PAUSE_MARK
from async_agent_ros.llm import grammar

LINES, NUMBER, NAME, VALUE = 'lines', 'number', 'name', 'value'
_BRACE = ' {"'
"""Begins a call behind its marker: in text there are no braces."""
_MOST = 400
"""Characters of a text."""


@dataclass(frozen=True)
class Stretch:
    """A part of an output that the model writes."""

    forced: str
    """What stands before it."""
    grammar: str
    """Of what may come from here on, for llguidance."""
    stops: Tuple[str, ...] = ()
    """Where it ends, itself left out: the next stretch says what stands there. Empty: with the
    output."""
    over: bool = False
    """Nothing follows on what is forced."""


class Stretches:
    """Cuts one output into stretches; make one for every output."""

    def __init__(self, tools: Sequence[Any], marker: str = grammar.CALL_MARKER,
                 ids: bool = False, number: int = 0):
        """
        Take what `grammar.lark` takes.

        `number`: of the first call, those behind it count on; 0: the model writes it.
        """
        self._tools = {tool.name: tool for tool in tools}
        self._marker = marker
        self._ids = ids
        self._number = number
        self._state = LINES
        self._tool: Any = None
        self._left: List[str] = []
        """Arguments of the call that have not been written, the one being written last."""

    def first(self) -> Stretch:
        """Return the stretch that an output begins with."""
        return self._stretch('', f'line{self._more()}', _BRACE, PAUSE_MARK[:-1])

    def after(self, text: str) -> Optional[Stretch]:
        """Return what comes after a stretch in which the model wrote `text`, None: nothing."""
        if self._state == LINES:
            if not text:
                return Stretch(PAUSE_MARK, '', over=True)
            return self._begun('') if text.rpartition('\n')[2] == self._marker else None
        if self._state == VALUE and not self._left:
            return self._begun(self._marker) if text.endswith('\n') else None
        if self._state == NUMBER:
            return self._named('", "name": "')
        if self._state == NAME:
            self._tool = self._tools.get(text)
            return self._tool and self._arguments()
        return self._value('", ')

    def _begun(self, marker: str) -> Stretch:
        if not self._ids:
            return self._named(f'{marker}{_BRACE}name": "')
        if self._number:
            self._number += 1
            return self._named(f'{marker}{_BRACE}id": "c{self._number - 1}", "name": "')
        self._state = NUMBER
        return self._stretch(f'{marker}{_BRACE}id": "c', '/[0-9]{1,4}", "name": ".*/', '"')

    def _named(self, forced: str) -> Stretch:
        self._state = NAME
        names = '|'.join(grammar.regex(name) for name in sorted(self._tools))
        return self._stretch(forced, f'/({names})", "arguments": .*/', '"')

    def _arguments(self) -> Stretch:
        self._state = VALUE
        self._left = _plain(self._tool)
        if self._left:
            return self._value('", "arguments": {')
        # where the model has a choice, it writes the keys, too
        return self._last('", "arguments":', '" " arguments "}"', 'arguments: %json '
                          f'{grammar.arguments(self._tool, self._ids)}\n')

    def _value(self, before: str) -> Stretch:
        # the space stays with the value: in ' "kitchen"' and ' "$c1.place"' it is another token
        forced = f'{before}{json.dumps(self._left.pop(0))}:'
        if self._left:
            key = grammar.regex(json.dumps(self._left[0]))
            return self._stretch(forced, f'/ "[^"\\\\\\n]{{0,{_MOST}}}", {key}: .*/', '",')
        return self._last(forced, 'VALUE',
                          f'VALUE: / "([^"\\\\\\n]|\\\\.){{0,{_MOST}}}"[}}][}}]/\n')

    def _last(self, forced: str, start: str, rules: str) -> Stretch:
        """Return the last stretch of a call, and the lines behind it up to the next call."""
        return self._stretch(forced, f'{start}{self._more()}{rules}', self._marker + _BRACE)

    def _more(self) -> str:
        """Return the end of a rule behind which lines may follow, and the rules for these."""
        call = f'"{self._marker}" /{grammar.regex(_BRACE)}.*/'
        return f' ("\\n" line)*\n{grammar.lines(call, self._marker, self._ids)}'

    @staticmethod
    def _stretch(forced: str, start: str, *stops: str) -> Stretch:
        return Stretch(forced, f'{grammar.HEAD}start: {start}\n', stops)


def _plain(tool) -> List[str]:
    """Return the arguments of a tool that takes texts alone and needs them all, else none."""
    schema: Dict[str, Any] = tool.arguments_schema
    properties = schema.get('properties') or {}
    plain = all(isinstance(of, dict) and of.get('type') == 'string' and 'pattern' not in of
                for of in properties.values())
    return list(properties) if plain and set(schema.get('required') or ()) == set(properties) \
        else []
