"""Requests that must be refused: no tool does what is asked, or no schema lists the value."""
import re
from typing import FrozenSet, Optional, Tuple

from async_agent_ros.training.catalogues import SimTool
from async_agent_ros.training.intents import Intent, Stage
from async_agent_ros.training.own_tools import LIKELY_LIST
from async_agent_ros.training.speaker import QUESTION, Speaker
from async_agent_ros.training.tables import slots

_IDLE = frozenset('the and for such this that with look long'.split())


def unmeetable(s: Speaker) -> Intent:
    """Ask for what no tool can do."""
    abilities = [_stems(' '.join((t.spec.name, t.spec.description, *t.concept.ask,
                                  *t.concept.say))) for t in s.tools]

    def seems_able(what: str) -> bool:
        # a tool that speaks of all that a request is about may well meet it
        needed = _stems(what)
        return bool(needed) and any(needed <= ability for ability in abilities)

    foreign = [t for t in s.foreign if not seems_able(t.concept.inf)]
    # mostly what another robot could do: a request that no robot ever meets is refused by heart
    if foreign and s.rng.random() < 0.8:
        tool = s.rng.choice(foreign)
        clause = s.rng.choice(tool.concept.ask or tool.concept.say)
        act = s.act(tool, clause)
        template = s.framed(clause) if tool.concept.ask else clause
        return s.finish('unmeetable', [Stage(s.say(s.loosely(template), act.values))],
                        f'Sorry, I cannot {act.inf()}, I have no tool for that.', template)
    here = {name for t in s.tools for name in t.concept.names}
    words, what = s.rng.choice([
        entry[:2] for entry in s.language.phrases['unmeetable']
        if not here & set(entry[2:]) and not seems_able(entry[1])])
    template = words if QUESTION.match(words) else s.framed(words)
    return s.finish('unmeetable', [Stage(s.loosely(template))],
                    f'Sorry, I cannot {what}, I have no tool for that.', words)


def unknown_value(s: Speaker) -> Optional[Tuple[SimTool, Intent]]:
    """Return a tool, and a request for a value that its schema does not list."""
    options = []
    for tool in s.tools:
        for name, values in tool.allowed.items():
            whole = s.language.lists.get(values.listed) or s.language.lists.get(
                LIKELY_LIST.get(name, ''), ())
            # "the kitchen" may mean the old kitchen, where there is one, and "mug" the cup
            called = {n for names in tool.concept.spoken.values() for n in names}
            others = [v for v in whole if v not in called
                      and not any(v in str(c) for c in values.choices)]
            asks = [a for a in (*tool.concept.ask, *tool.concept.say) if name in slots(a)]
            if values.kind == 'enum' and others and asks:
                options.append((tool, name, others, asks))
    if not options:
        return None
    tool, name, others, asks = s.rng.choice(options)
    clause = s.rng.choice(asks)
    act = s.act(tool, clause)
    wrong = s.rng.choice(others)
    template = s.framed(clause) if clause in tool.concept.ask else clause
    return tool, s.finish(
        'unknown_value', [Stage(s.say(s.loosely(template), {**act.values, name: wrong}))],
        f'Sorry, I do not know the {wrong}.', template)


def _stems(text: str) -> FrozenSet[str]:
    """Return the beginnings of the words of a template that say what it is about."""
    words = re.findall('[a-z]{3,}', re.sub(r'\{\w+\}', ' ', text).lower().replace('_', ' '))
    return frozenset(w[:5] for w in words if w not in _IDLE)
