"""
Is an answer supported by the ledger: rules, no judge.

An answer is unfaithful when it holds a number that nobody gave, a place or thing of the catalogue
that nobody named, or a claim that something is done although no result says so; and when the newest
result is a failure and the answer does not say so. The rules know nothing of paraphrase: they find
inventions, they do not prove truth.
"""
import json
import re
from typing import Any, Iterable, List, Sequence, Set

from async_agent_ros.core.ledger import Entry
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Effect, Kind, Status

_UNITS = ('zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen '
          'fifteen sixteen seventeen eighteen nineteen').split()
_TENS = {'twenty': 20, 'thirty': 30, 'forty': 40, 'fifty': 50, 'sixty': 60, 'seventy': 70,
         'eighty': 80, 'ninety': 90}
_NUMBER = re.compile(r'\d+(?:\.\d+)?')
_DONE = re.compile(
    r'\b(it is done|(?<!percent )done\b|finished|successfully|has been \w+ed|i (arrived|reached)|'
    r'i (have|.ve) (now )?(arrived|reached|picked|put|placed|got|delivered|docked|moved|driven|'
    r'switched|opened|completed))\b', re.I)
_FAILED = re.compile(r'\b(not|no|sorry|fail\w*|unable|cannot|stop\w*|cancel\w*|block\w*|nobody|'
                     r'unfortunately|could|problem|error|lost|\w+n.t)\b', re.I)
_NEGATED = re.compile(r'\b(not|cannot|could not|unable|until|when|once|as soon as|will|sorry|'
                      r'\w+n.t)\b', re.I)


def numbers(text: str) -> List[float]:
    """Return the numbers in a text, digits and words; 'one' is a word more often than a number."""
    found = [float(n) for n in _NUMBER.findall(text)]
    words = re.findall(r'[a-z]+', text.lower())
    i = 0
    while i < len(words):
        if words[i] in _TENS:
            value = _TENS[words[i]]
            if i + 1 < len(words) and words[i + 1] in _UNITS[1:10]:
                value += _UNITS.index(words[i + 1])
                i += 1
            found.append(float(value))
        elif words[i] in _UNITS and words[i] not in ('one', 'zero'):
            found.append(float(_UNITS.index(words[i])))
        i += 1
    return found


def facts(entries: Iterable[Entry]) -> str:
    """Return all that the ledger tells of the world: words, arguments, results, progress."""
    return '\n'.join(e.content for e in entries if e.kind in (
        Kind.USER, Kind.CALL, Kind.RESULT, Kind.NOTIFICATION, Kind.FORK, Kind.SPAWN))


def problem(text: str, entries: Sequence[Entry], specs: Sequence[ToolSpec],
            calls: str = '') -> str:
    """
    Return what of the answer the ledger does not support, '' when nothing was found.

    `calls`: the calls of the same answer; it may say what it is doing.
    """
    known = facts(entries) + calls
    about = ' '.join(f'{s.name} {s.description} {json.dumps(s.arguments_schema)}' for s in specs)
    given = set(numbers(known + ' ' + about))
    given |= {round(n) for n in given} | {round(n, 1) for n in given}
    given |= {n / 60 for n in given} | {float(int(n)) for n in given}
    for number in numbers(text):
        if number not in given:
            return f'the number {number:g} stands nowhere'
    lowered = known.lower()
    described = ' '.join(f'{s.name} {s.description}' for s in specs).lower()
    for name in sorted(_names(specs)):
        if name in described:
            continue
        if re.search(rf'\b{re.escape(name)}\b', text, re.I) and name not in lowered and not (
                _NEGATED.search(text) or text.count(',') > 1):
            return f'nobody spoke of {name!r}'
    results = [e for e in entries if e.kind == Kind.RESULT]
    reads = {s.name for s in specs if s.effect == Effect.READ_ONLY}
    done = _DONE.search(text)
    if done and not _NEGATED.search(text[:done.start()]) and not any(
            e.status == Status.SUCCEEDED and e.name not in reads for e in results):
        return f'{done.group(0)!r}, but no result says so'
    newest = next((e for e in reversed(entries) if e.kind in (
        Kind.RESULT, Kind.USER, Kind.ASSISTANT)), None)
    if newest is not None and newest.kind == Kind.RESULT and newest.status in (
            Status.FAILED, Status.LOST) and not _FAILED.search(text):
        return 'the call failed, and the answer does not say so'
    return ''


def _names(specs: Sequence[ToolSpec]) -> Set[str]:
    found: Set[str] = set()
    for spec in specs:
        for schema in (spec.arguments_schema.get('properties') or {}).values():
            found |= {v.lower() for v in _listed(schema) if isinstance(v, str) and len(v) > 3}
    return found


def _listed(schema: Any) -> Sequence[Any]:
    return schema.get('enum') or () if isinstance(schema, dict) else ()
