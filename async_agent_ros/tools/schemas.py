"""JSON Schemas as the model should read them: short, without references where possible."""
from typing import Any, Mapping

_NOISE = ('title',)


def tidy_schema(schema: Mapping[str, Any]) -> dict:
    """
    Return an equal schema without titles, and with definitions put in place.

    Only a definition that contains itself stays in `$defs`.
    """
    definitions = dict(schema.get('$defs', {}))
    kept = {}

    def resolve(node, path, names=False):
        if isinstance(node, list):
            return [resolve(item, path) for item in node]
        if not isinstance(node, Mapping):
            return node
        reference = node.get('$ref', '')
        name = reference[len('#/$defs/'):] if isinstance(reference, str) else ''
        if name in definitions:
            if _contains_itself(name, definitions):
                if name not in kept:
                    kept[name] = None    # before the descent: it comes by here again
                    kept[name] = resolve(definitions[name], path)
                return dict(node)
            rest = {k: v for k, v in node.items() if k != '$ref'}
            return resolve({**definitions[name], **rest}, path + (name,))
        return {key: (value if key in ('default', 'const', 'enum', 'examples') and not names
                      else resolve(value, path, names=key == 'properties' and not names))
                for key, value in node.items()
                # a property may well be called 'title': only the keyword is noise
                if names or not (key in _NOISE and isinstance(value, str)) and key != '$defs'}

    tidy = resolve(schema, ())
    if kept:
        tidy['$defs'] = kept
    if tidy.get('type') == 'object':
        tidy.setdefault('properties', {})
    return tidy


def _contains_itself(name, definitions):
    seen, todo = set(), [name]
    while todo:
        for target in _references(definitions[todo.pop()]):
            if target == name:
                return True
            if target in definitions and target not in seen:
                seen.add(target)
                todo.append(target)
    return False


def _references(node):
    if isinstance(node, Mapping):
        reference = node.get('$ref')
        if isinstance(reference, str):
            yield reference[len('#/$defs/'):]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
