"""Values as text in the prompt: JSON, tools, and nothing that could forge a mark."""
import json
import re
from typing import Any, Mapping

from async_agent_ros.core.tools import ToolSpec

_TAG = re.compile(r'<(?=/?(?:tool_call|tool_response|tools|think|s|pause|partial|final)>)')


def escape(text: str) -> str:
    """Make text of people, tools and models unable to forge a mark of the prompt."""
    return _TAG.sub('< ', text.replace('<|', '< |'))


def dumps(value: Any) -> str:
    """Return JSON as language models have learned it: a space after ':' and ','."""
    return json.dumps(value, ensure_ascii=False, default=str)


def tool_line(spec: ToolSpec, results: bool = False, asked: int = 0) -> str:
    """
    Return the one line that describes a tool to the model: short, since small models skim.

    With `results` it names the fields of the result too, which other calls can refer to; `asked` is
    how many of its examples of what people say are in it.
    """
    schema = spec.arguments_schema
    properties = schema.get('properties') or {}
    required = schema.get('required') or ()
    arguments = {name: _type_words(value, name in required) for name, value in properties.items()}
    line = {'name': spec.name, 'description': spec.description}
    if asked and spec.examples:
        line['asked'] = [e.say for e in spec.examples[:asked]]
    line['arguments'] = arguments
    fields = (spec.result_schema or {}).get('properties') if results else None
    if fields:
        line['result'] = {name: _type_words(value, True) for name, value in fields.items()}
    return dumps(line)


def _type_words(schema: Any, required: bool) -> str:
    if not isinstance(schema, Mapping):
        return 'any'
    words = []
    if 'enum' in schema and isinstance(schema['enum'], (list, tuple)):
        words.append('one of ' + ', '.join(str(v) for v in schema['enum'][:24]))
    elif schema.get('type') == 'object' and schema.get('properties'):
        inner = schema.get('required') or ()
        words.append('object {' + '; '.join(
            f'{name}: {_type_words(value, name in inner)}'
            for name, value in schema['properties'].items()) + '}')
    elif schema.get('type') == 'array' and isinstance(schema.get('items'), Mapping):
        words.append('array of ' + _type_words(schema['items'], True))
    elif isinstance(schema.get('type'), str):
        words.append(schema['type'])
    elif schema:
        words.append(dumps({k: v for k, v in schema.items() if k != 'description'}))
    if schema.get('description'):
        words.append(str(schema['description']))
    if not required:
        words.append('optional')
    return ', '.join(words) or 'any'
