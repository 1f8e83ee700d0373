"""What people say of errands: the same of several things, and what needs what was found before."""
from dataclasses import replace
import re
from typing import List, Optional, Sequence, Tuple

from async_agent_ros.training.catalogues import SimTool
from async_agent_ros.training.intents import Act, Intent, Ref, Stage
from async_agent_ros.training.speaker import QUESTION, Speaker
from async_agent_ros.training.tables import fill, slots

_LAST = re.compile(r' (the|my) \{\w+\}( is)?$')
"""What the end of a clause looks like that can be said again for another thing."""


def listed(s: Speaker, tool: SimTool) -> Optional[Intent]:
    """Ask the same of two or three things, and now and then take one of them back."""
    if s.rng.random() < 0.2 and (intent := _alike_place(s, tool)):
        return intent
    asks = [a for a in (*tool.concept.ask, *tool.concept.say) if _LAST.search(a)]
    if not asks:
        return None
    clause = s.rng.choice(asks)
    acts = _alike(s, s.act(tool, clause), clause, s.rng.choice((2, 2, 3)))
    if acts is None:
        return None
    stages = _enumerated(s, clause, acts)
    if s.rng.random() < 0.25:
        goes = s.rng.choice((acts[-1], acts[-1], acts[0]))
        left = tuple(a for a in acts if a is not goes)
        name = slots(_LAST.search(clause)[0])[0]
        stages.append(Stage(s.language.say(
            s.rng, 'not_that', value=s.value(goes.values[name])), left))
    return s.finish('listed', stages, template=clause)


def _alike_place(s: Speaker, tool: SimTool) -> Optional[Intent]:
    """Ask whether two things are in one place: both have to be looked up."""
    places = any(getattr(v, 'listed', '') == 'places' or n in ('place', 'room')
                 for n, v in tool.concept.result.items())
    things = [n for n, v in tool.allowed.items() if not v.optional]
    if 'same_place' not in s.language.phrases or not places or len(things) != 1 or (
            things[0] in ('place', 'room') or tool.allowed[things[0]].listed == 'places'):
        return None
    clause = f'find the {{{things[0]}}}'
    acts = _alike(s, s.act(tool, clause), clause, 2)
    if acts is None:
        return None
    first, rest = s.language.say(s.rng, 'same_place').split('{one}')
    values = [s.value(a.values[things[0]]) for a in acts]
    middle, end = rest.split('{two}')
    return s.finish('listed', [
        Stage(s.loosely(first, 1) + values[0], (acts[0],)),
        Stage(s.loosely(middle, 1) + values[1] + end, tuple(acts))], template=first + rest)


def _alike(s: Speaker, act: Act, clause: str, count: int) -> Optional[List[Act]]:
    """Return calls that differ in what the clause ends with, None where there are too few."""
    name = slots(_LAST.search(clause)[0])[0]
    acts = [act]
    for _ in range(8):
        other = s.changed(act)
        if len(acts) == count or other is None:
            break
        drawn, changed = other
        if changed == name and all(drawn.values[name] != a.values[name] for a in acts):
            acts.append(Act(s.key(), drawn.name, drawn.arguments, act.tool, drawn.values))
    return acts if len(acts) > 1 else None


def _enumerated(s: Speaker, clause: str, acts: Sequence[Act]) -> List[Stage]:
    """Return a clause that goes on with the last words of it for every other call."""
    again = _LAST.search(clause)
    template = s.framed(clause) if clause in acts[0].tool.concept.ask else clause
    template = template if template.endswith(clause) else clause
    are = ' are' if again[0].endswith(' is') else ''
    head = template.removesuffix(' is') if are else template
    article = again[0].strip().removesuffix(' is')
    stages = [Stage(s.say(s.loosely(head, 1), acts[0].values), (acts[0],))]
    for number, act in enumerate(acts[1:], 1):
        last = number == len(acts) - 1
        join = s.language.say(s.rng, 'joins') if last and s.rng.random() < 0.3 else (
            ' and ' if last or s.rng.random() < 0.2 else s.rng.choice((', ', ' ')))
        stages.append(Stage(join + s.say(article, act.values) + are * last,
                            tuple(acts[:number + 1])))
    return stages


def dependent(s: Speaker) -> Optional[Intent]:
    """Ask for something whose argument is the result of something else."""
    pairs = []
    for first in s.tools:
        # what needs no value finds nothing that one would then go to ("say where you are")
        for name, values in first.concept.result.items() if first.allowed else ():
            listed = getattr(values, 'listed', '')
            pairs += [(first, name, second, canonical) for second in s.tools
                      if second is not first and first.reads
                      for canonical in second.concept.there
                      if listed and _list_of(second, canonical) == listed]
    if not pairs:
        return None
    first, result, second, canonical = s.rng.choice(pairs)
    if not first.concept.ask:
        return None
    where = second.concept.where.get(canonical, ())
    if where and s.rng.random() < 0.35:
        return _where(s, first, result, second, canonical, s.rng.choice(where))
    questions = [a for a in first.concept.say if QUESTION.match(a) and _LAST.search(a)]
    asks = bool(questions) and 'there_asked' in s.language.phrases and s.rng.random() < 0.3
    find = s.rng.choice(questions if asks else first.concept.ask)
    act = s.act(first, find)
    there = s.rng.choice(second.concept.there[canonical])
    then = _there(s, second, canonical, Ref(act.key, result), there)
    form = s.language.say(s.rng, 'there_asked' if asks else 'there', find='\0', there='\1')
    head, tail = form.split('\0')[1].split('\1')
    before = _besides(s, first, second)
    lead = find if before or asks else s.leading(find)
    found = _corrected_find(s, act, find, lead) or [Stage(
        s.say(s.loosely(lead, 1), act.values), (act,))]
    rest = [Stage(head + s.say(there, then.values) + tail, (found[-1].plan[0], then))]
    stages = [*before, *(Stage(x.words, (*(before[-1].plan if before else ()), *x.plan))
                         for x in found + rest)]
    third = _taken(s, found[-1].plan[0], second)
    if third is not None and not before:
        words, last = third
        stages.append(Stage(words, stages[-1].plan))
        return replace(s.finish('dependent', stages, template=find), then=(last,))
    return s.finish('dependent', stages, template=find)


def _there(s: Speaker, tool: SimTool, canonical: str, ref: Ref, clause: str) -> Act:
    drawn = tool.draw(s.rng, clause)
    drawn[canonical] = ref
    return Act(s.key(), tool.spec.name, tool.arguments(drawn), tool, drawn)


def _besides(s: Speaker, *others: SimTool) -> List[Stage]:
    """Return now and then something to look up that is asked for first."""
    tool = s.rng.random() < 0.15 and s.pick(
        lambda t: t.reads and t.concept.ask and t not in others)
    if not tool:
        return []
    clause = s.rng.choice(tool.concept.ask)
    act = s.act(tool, clause)
    words = s.say(s.leading(clause), act.values) + s.language.say(s.rng, 'joins')
    return [Stage(words, (act,))]


def _corrected_find(s: Speaker, act: Act, find: str, lead: str) -> List[Stage]:
    """Return now and then a clause in which the value is said wrong first."""
    end = _LAST.search(find)
    other = end and not end[0].endswith(' is') and s.rng.random() < 0.25 and s.changed(act)
    if not other or other[1] != slots(end[0])[0]:
        return []
    wrong = Act(s.key(), other[0].name, other[0].arguments, act.tool, other[0].values)
    fix = s.language.say(s.rng, 'corrections')
    return [Stage(s.say(lead, wrong.values), (wrong,)),
            *s.taken_back(fix, s.say(end[0].strip(), act.values), act)]


def _where(s: Speaker, first: SimTool, result: str, second: SimTool, canonical: str,
           where: str) -> Optional[Intent]:
    """Ask to go where something is, which has to be found for that; or to one of two."""
    asks = [a for a in first.concept.ask if _LAST.search(a)]
    if not asks:
        return None
    clause = s.rng.choice(asks)
    name = slots(_LAST.search(clause)[0])[0]
    acts = [s.act(first, clause)]
    stages: List[Stage] = []
    if s.rng.random() < 0.4:
        acts = _alike(s, acts[0], clause, 2) or acts
        stages = _enumerated(s, clause, acts)
    goal = s.rng.choice(acts)
    then = _there(s, second, canonical, Ref(goal.key, result), where)
    words = fill(where, {'it': s.value(goal.values[name])})
    words = s.language.say(s.rng, 'joins') + words if stages else s.leading(words)
    stages.append(Stage(s.loosely(words, 1), (*acts, then)))
    return s.finish('dependent', stages, template=where)


def _taken(s: Speaker, found: Act, driving: SimTool) -> Optional[Tuple[str, Act]]:
    """Return what is to be done with what was found when the robot is there, now and then."""
    fitting = [(t, canonical) for t in s.tools if driving.spec.name in t.concept.after
               for canonical in t.concept.there
               if canonical in found.values and not t.reads]
    if not fitting or s.rng.random() < 0.3:
        return None
    tool, canonical = s.rng.choice(fitting)
    clause = s.rng.choice(tool.concept.there[canonical])
    drawn = tool.draw(s.rng, clause)
    drawn[canonical] = found.values[canonical]
    act = Act(s.key(), tool.spec.name, tool.arguments(drawn), tool, drawn)
    return s.rng.choice((' and ', ' and ', ', ', ' and then ')) + clause, act


def _list_of(tool: SimTool, canonical: str) -> str:
    return tool.allowed[canonical].listed if canonical in tool.allowed else ''
