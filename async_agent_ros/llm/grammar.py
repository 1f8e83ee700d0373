"""
Grammars that keep calls valid: free text, or a call of a tool of the catalogue, line by line.

One language in two notations: Lark for llguidance (transformers, and llama.cpp built with it) and
GBNF for any other llama.cpp server. Text is free but for braces, which only calls may write; so a
model cannot write half a call. Unknown JSON Schema keywords are left to the check of arguments
that every call passes anyway (ToolSpec.check_arguments).
"""
import json
from typing import Any, Dict, List, Mapping, Sequence

CALL_MARKER = 'CALL'
REMOVE_MARKER = 'REMOVE'
HEAD = '%llguidance {}\n'
"""Begins every grammar for llguidance."""


def call_schema(tools: Sequence[Any], ids: bool = False) -> Dict[str, Any]:
    """Return the JSON Schema of one call: {"name": ..., "arguments": {...}}, or with an id."""
    return {'anyOf': [_one_call(tool, ids) for tool in tools]}


def _one_call(tool, ids):
    arguments = _arguments(tool, ids)
    properties: Dict[str, Any] = {'id': {'type': 'string', 'pattern': '^c[0-9]{1,4}$'}} \
        if ids else {}
    properties.update(name={'const': tool.name}, arguments=arguments)
    return {'type': 'object', 'properties': properties, 'required': ['name', 'arguments'],
            'additionalProperties': False}


def _arguments(tool, ids: bool = False) -> Dict[str, Any]:
    """
    Return the schema of the arguments, with names and types but free strings.

    Held to the values of an enum, a model that is asked to go to a place it does not have writes
    the next best one, and the robot drives there. Free, it writes what it heard, the check of
    arguments refuses the call with the list of values, and the person is told.
    """
    arguments = {'type': 'object', 'properties': {}, **tool.arguments_schema}
    arguments.setdefault('additionalProperties', False)
    arguments['properties'] = {
        name: _or_operand(_free(schema)) if ids else _free(schema)
        for name, schema in arguments['properties'].items()}
    return arguments


def _or_operand(schema: Any) -> Any:
    """Return a schema that takes a part of another call's result too; strings take any text."""
    if isinstance(schema, Mapping) and schema.get('type') == 'string' and 'pattern' not in schema:
        return schema
    operand = {'type': 'string', 'pattern': r'^\$c[0-9]{1,4}(\.[A-Za-z0-9_]{1,40}){0,4}$'}
    return {'anyOf': [schema, operand]}


def _free(schema: Any) -> Any:
    if isinstance(schema, Mapping) and 'enum' in schema and all(
            isinstance(v, str) for v in schema['enum']):
        return {'type': 'string', 'maxLength': 80}
    return schema


def lark(tools: Sequence[Any], marker: str = CALL_MARKER, ids: bool = False) -> str:
    """
    Return the grammar for llguidance.

    Without tools only text is left. The JSON is written as in the prompt's examples (one space
    after comma and colon), because a model that must write unusual spaces writes worse arguments.
    """
    if not tools:
        return f'{HEAD}start: line ("\\n" line)*\nline: TEXT\n{_text(marker)}\n'
    schema = _as_in_the_prompt(call_schema(tools, ids))
    call = f'"{marker} " json\njson: %json {json.dumps(schema)}'
    return f'{HEAD}start: line ("\\n" line)*\n{lines(call, marker, ids)}'


def lines(call: str, marker: str = CALL_MARKER, ids: bool = False) -> str:
    """Return the rules for `line`: text, a call (written as the rule that is given), a removal."""
    removal = f'REMOVE: /{REMOVE_MARKER} c[0-9]{{1,4}}/\n' if ids else ''
    return (f'line: TEXT | call{" | REMOVE" if ids else ""}\n{_text(marker)}\n{removal}'
            f'call: {call}\n')


def arguments(tool: Any, ids: bool = False) -> str:
    """Return the JSON Schema of a tool's arguments, for %json."""
    return json.dumps(_as_in_the_prompt(_arguments(tool, ids)))


def _as_in_the_prompt(schema: Mapping[str, Any]) -> Dict[str, Any]:
    return {**schema, 'x-guidance': {'whitespace_flexible': False, 'item_separator': ', ',
                                     'key_separator': ': ', 'lenient': True}}


def _text(marker: str) -> str:
    return r'TEXT: /[^\n{}]+/ & ~/' + regex(marker) + r'.*/'


def regex(text: str) -> str:
    """Return a regular expression for just this text."""
    # in a class of its own no character is special but these four
    return ''.join('[' + ('\\' if c in '\\]^-[' else '') + c + ']' for c in text)


_BASICS = r"""
string ::= "\"" char* "\""
char ::= [^"\\\x7F\x00-\x1F] | [\\] (["\\/bfnrt] | "u" [0-9a-fA-F]{4})
integer ::= "-"? ("0" | [1-9] [0-9]*)
number ::= integer ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
boolean ::= "true" | "false"
null ::= "null"
value ::= object | array | string | number | boolean | null
object ::= "{" (string ": " value (", " string ": " value)*)? "}"
array ::= "[" (value (", " value)*)? "]"
"""


def gbnf(tools: Sequence[Any], marker: str = CALL_MARKER) -> str:
    """
    Return the grammar as llama.cpp's GBNF.

    GBNF has no "anything but": a line of text may begin with a proper beginning of the marker
    and then something else, spelt out letter by letter.
    """
    rules: List[str] = []
    branches = ['[^\\n{}' + _in_class(marker[0]) + '] tail']
    for n in range(1, len(marker)):
        branches.append(f'{_literal(marker[:n])} ([^\\n{{}}{_in_class(marker[n])}] tail)?')
    rules.append('text ::= ' + ' | '.join(branches))
    rules.append('tail ::= [^\\n{}]*')
    if not tools:
        return 'root ::= text ("\\n" text)*\n' + '\n'.join(rules) + '\n'
    names = []
    for number, tool in enumerate(tools):
        name = f'tool{number}'
        names.append(name)
        body = _Gbnf(f'{name}-', rules).rule(_arguments(tool))
        head = json.dumps({'name': tool.name})[:-1] + ', "arguments": '
        rules.append(f'{name} ::= {_literal(head)} {body} "}}"')
    rules.append(f'call ::= {_literal(marker + " ")} ({" | ".join(names)})')
    return ('root ::= line ("\\n" line)*\nline ::= text | call\n'
            + '\n'.join(rules) + _BASICS)


def _literal(text):
    return json.dumps(text, ensure_ascii=False)


def _in_class(char):
    return '\\' + char if char in '\\]^-' else char


class _Gbnf:
    """Turns the schema of one tool's arguments into GBNF rules named with a prefix."""

    def __init__(self, prefix: str, rules: List[str]):
        self._prefix = prefix
        self._rules = rules
        self._count = 0

    def rule(self, schema: Any) -> str:
        """Return an expression for a schema; rules that it needs are appended."""
        if not isinstance(schema, Mapping):
            return 'value'
        if 'const' in schema:
            return _literal(json.dumps(schema['const'], ensure_ascii=False))
        if 'enum' in schema:
            return '(' + ' | '.join(
                _literal(json.dumps(v, ensure_ascii=False)) for v in schema['enum']) + ')'
        for key in ('anyOf', 'oneOf'):
            if key in schema:
                return '(' + ' | '.join(self.rule(s) for s in schema[key]) + ')'
        kind = schema.get('type')
        if isinstance(kind, list):
            return '(' + ' | '.join(self.rule({**schema, 'type': k}) for k in kind) + ')'
        if kind == 'object' and (schema.get('properties')
                                 or schema.get('additionalProperties', False) is False):
            return self._object(schema)
        if kind == 'array' and 'items' in schema:
            item = self.rule(schema['items'])
            return f'("[" ({item} (", " {item})*)? "]")'
        return kind if kind in ('object', 'array', 'string', 'integer', 'number', 'boolean',
                                'null') else 'value'

    def _object(self, schema):
        # required members first, in order, then the optional ones, each may be left out
        required = set(schema.get('required', ()))
        members = [(key, f'{_literal(json.dumps(key, ensure_ascii=False) + ": ")} '
                         f'{self.rule(value)}')
                   for key, value in schema.get('properties', {}).items()]
        musts = [m for key, m in members if key in required]
        mays = [m for key, m in members if key not in required]
        body = ' ", " '.join(musts)
        if musts:
            body += ''.join(f' (", " {m})?' for m in mays)
        elif mays:
            # the comma stands between those that are there: one alternative per first member
            body = '(' + ' | '.join(
                m + ''.join(f' (", " {n})?' for n in mays[i + 1:])
                for i, m in enumerate(mays)) + ')?'
        name = f'{self._prefix}o{self._count}'
        self._count += 1
        self._rules.append(f'{name} ::= "{{" {body} "}}"' if body else f'{name} ::= "{{}}"')
        return name
