"""Puts what the simulated person wants into words, with corrections, fillers and pauses."""
from dataclasses import replace
import random
import re
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from async_agent_ros.training.catalogues import SimTool
from async_agent_ros.training.intents import Act, Intent, Ref, Stage
from async_agent_ros.training.tables import fill, FILLERS, Language, OPENERS, slots, spoken

NUMBERS = {**dict(enumerate(
    'zero one two three four five six seven eight nine ten eleven twelve'.split())),
    15: 'fifteen', 20: 'twenty', 25: 'twenty-five', 30: 'thirty', 40: 'forty', 45: 'forty-five',
    50: 'fifty', 60: 'sixty', 90: 'ninety'}
QUESTION = re.compile(
    r'(what|where|who|how|when|which|is|are|do|does|did|have|has|can|could|would|will|any)\b', re.I)
"""What a sentence begins with that is a question."""

_BACK = re.compile(r'\b(no|not|wait|sorry|wrong|pardon|meant|mean|rather|forget)\b')
"""The word that takes back what was said last."""
_CLEAR = '\x02'
"""Stands in a template where enough is said."""
_LEAD = re.compile(
    '^((' + '|'.join(sorted({w.strip(',') for w in (*OPENERS, *FILLERS)}, key=len, reverse=True))
    + r'|robot|now|yeah)\b,? *)+', re.I)


class Speaker:
    """Makes intents over a catalogue, in the language of a split."""

    def __init__(self, rng: random.Random, language: Language, tools: Sequence[SimTool],
                 foreign: Sequence[SimTool] = (), disfluency: float = 0.35):
        """`foreign`: tools that this robot does not have, for requests that it must refuse."""
        self.rng = rng
        self.language = language
        self.tools = list(tools)
        self.foreign = list(foreign)
        self.disfluency = disfluency
        self._aliases = {v: forms for t in tools for v, forms in t.concept.spoken.items()}
        self._keys = 0
        self._plain = rng.random() < 0.3

    # -- acts -------------------------------------------------------------------------------------
    def key(self) -> str:
        """Return a new key for an act."""
        self._keys += 1
        return f'a{self._keys}'

    def act(self, tool: SimTool, template: str, said: str = '') -> Act:
        """Return a call of a tool with drawn values for a template."""
        values = tool.draw(self.rng, template)
        return Act(self.key(), tool.spec.name, tool.arguments(values), tool, values, said)

    def changed(self, act: Act) -> Optional[Tuple[Act, str]]:
        """Return the act with another value of one argument, and that argument; or None."""
        names = [n for n, v in act.values.items()
                 if n in act.tool.allowed and not isinstance(v, Ref)]
        self.rng.shuffle(names)
        for name in names:
            values = act.tool.allowed[name]
            for _ in range(8):
                other = values.draw(self.rng)
                if other != act.values[name]:
                    drawn = {**act.values, name: other}
                    return Act(act.key, act.name, act.tool.arguments(drawn), act.tool, drawn,
                               act.said), name
        return None

    def builtin(self, name: str, ack: str = '', **arguments) -> Act:
        """Return a call of one of the agent's own tools, and what is said along with it."""
        return Act(self.key(), name, arguments, ack=ack)

    # -- words ------------------------------------------------------------------------------------
    def loosely(self, template: str, most: int = 2) -> str:
        """Return the template as people say it: with fillers and repeated words."""
        words = template.split(' ')
        if self.rng.random() >= self.disfluency:
            return template
        for _ in range(self.rng.randint(1, most)):
            at = self.rng.randrange(len(words) + 1)
            if at < len(words) and self.rng.random() < 0.35 and not slots(words[at]) and (
                    words[at].isalpha()):
                words.insert(at, words[at])
            else:
                words.insert(at, self.rng.choice(FILLERS) + ',' * (self.rng.random() < 0.5))
        return ' '.join(words)

    def say(self, template: str, values: Mapping[str, Any]) -> str:
        """Fill a template; numbers come as digits or as words, things by any of their names."""
        return fill(template, {k: self.value(v) for k, v in values.items()})

    def value(self, value: Any) -> str:
        """Return a value as it is said."""
        if isinstance(value, int) and not isinstance(value, bool) and value in NUMBERS and (
                self.rng.random() < 0.3):
            return NUMBERS[value]
        forms = self._aliases.get(value, ()) if isinstance(value, str) else ()
        return self.rng.choice(forms) if forms and self.rng.random() < 0.5 else spoken(value)

    def finish(self, kind: str, stages: Sequence[Stage], reply: str = '', template: str = '',
               helper: Sequence[Act] = ()) -> Intent:
        """Return the intent with an opener, capitals and a full stop, or none of that."""
        stages = [Stage(x.words.replace(',,', ','), x.plan, x.pause_s) for x in stages]
        first = stages[0].words
        if self.rng.random() < self.disfluency:
            first = f'{self.rng.choice(OPENERS)} {first}'
        if not self._plain:
            first = first[0].upper() + first[1:]
            bare = _LEAD.sub('', first)
            # some recognisers write capitals and no full stops
            mark = '' if self.rng.random() < 0.2 else '?' if QUESTION.match(bare) else '.'
            last = stages[-1] if len(stages) > 1 else Stage(first, stages[0].plan)
            stages[-1] = Stage(last.words + mark, last.plan, last.pause_s)
        if self._plain:
            first = first.replace(',', '').replace('...', '').lower()
            stages[1:] = [Stage(re.sub(r'[,.]', '', s.words).lower(), s.plan, s.pause_s)
                          for s in stages[1:]]
        if len(stages) > 1 or self._plain:
            stages[0] = Stage(first, stages[0].plan, stages[0].pause_s)
        return Intent(kind, tuple(stages), reply, template, tuple(helper))

    def framed(self, ask: str) -> str:
        """Return a clause in one of the frames."""
        return self.rng.choice(list(self.language.phrases['frames'])).replace('{ask}', ask)

    def leading(self, clause: str) -> str:
        """Return a clause in a frame that ends with it."""
        framed = self.framed(clause)
        return framed if framed.endswith(clause) else clause

    def in_context(self, template: str) -> str:
        """Return the template, now and then with a remark before it that asks for nothing."""
        if self.rng.random() >= 0.1:
            return template
        return self.language.say(self.rng, 'contexts') + template

    # -- requests ---------------------------------------------------------------------------------
    def pick(self, test=lambda tool: True) -> Optional[SimTool]:
        """Return one of the tools that pass a test."""
        fitting = [t for t in self.tools if test(t)]
        return self.rng.choice(fitting) if fitting else None

    def request(self, tool: SimTool, kind: str = 'request') -> Intent:
        """Ask for one tool."""
        says = bool(tool.concept.say) and self.rng.random() < 0.5
        framed = bool(tool.concept.ask) and not says
        clause = self.rng.choice(tool.concept.ask if framed else tool.concept.say)
        template = self.framed(clause) if framed else clause
        if not framed and tool.reads and self.rng.random() < 0.15:
            template += self.language.say(self.rng, 'tails')
        act = self.act(tool, template)
        marked = template.replace(clause, self._clear(tool, clause), 1)
        words = self.say(self.in_context(self.loosely(marked)), act.values)
        stages = self._staged(words, act)
        head, _, rest = stages[0].words.partition(' ')
        if rest and self.rng.random() < 0.2 and not slots(template.split(' ')[0]):
            # a thinking pause: nothing is asked for yet
            stages[:1] = [Stage(head, (), self.rng.uniform(0.5, 1.5)), Stage(' ' + rest, (act,))]
        return self.finish(kind, stages, template=template)

    @staticmethod
    def _clear(tool: SimTool, clause: str) -> str:
        """Mark in a clause from where on it is clear what it asks for."""
        named = clause.rfind('}') + 1
        # to look something up, nothing is waited for: "where is the cup | at the moment"
        early = named and tool.reads and (
            clause in tool.concept.ask or QUESTION.match(clause))
        at = named if early else len(clause)
        # "where are you | right now": what it begins with is enough where people say just that
        shorter = (len(c) for c in (*tool.concept.ask, *tool.concept.say)
                   if clause.startswith(f'{c} ') and slots(c) == slots(clause))
        at = min((at, *shorter))
        return clause[:at] + _CLEAR + clause[at:]

    @staticmethod
    def _staged(words: str, act: Act, before: Sequence[Act] = ()) -> List[Stage]:
        """Return a stage up to the mark, and one for what is said after it."""
        clear, _, rest = words.partition(_CLEAR)
        plan = (*before, act)
        return [Stage(clear, plan), Stage(rest, plan)] if rest.strip(' .,') else [
            Stage(clear + rest, plan)]

    def several(self, tools: Sequence[SimTool], kind: str = 'parallel') -> Intent:
        """Ask for several things in one breath."""
        stages: List[Stage] = []
        templates = []
        for tool in tools:
            # what is looked up is asked for in questions, what is to be done in requests
            says = tool.concept.say and self.rng.random() < (0.65 if tool.reads else 0.35)
            asks = bool(tool.concept.ask) and not says
            clause = self.rng.choice(tool.concept.ask if asks else tool.concept.say)
            if stages:
                then = asks and all(a.reads for a in stages[-1].plan) and self.rng.random() < 0.2
                lead = self.language.say(
                    self.rng, 'then' if then else 'joins' if asks else 'questions')
                template = clause
            elif self.rng.random() < 0.1:
                lead, template = self.language.say(self.rng, 'announced'), clause
            else:
                lead, template = '', self.framed(clause) if asks else clause
            act = self.act(tool, clause)
            marked = template.replace(clause, self._clear(tool, clause), 1)
            words = lead + self.say(self.loosely(marked, 1), act.values)
            stages += self._staged(words, act, stages[-1].plan if stages else ())
            templates.append(template)
        return self.finish(kind, stages, template=' + '.join(templates))

    def sequence(self, first: SimTool, second: SimTool) -> Intent:
        """Ask for something, and for something else when that is done."""
        waits = first.spec.name in second.concept.after
        with_it = second.concept.with_it.get(first.spec.name, ())
        clauses = self.rng.choice(first.concept.ask), self.rng.choice(
            with_it if with_it and self.rng.random() < 0.6 else second.concept.ask)
        act, then = self.act(first, clauses[0]), self.act(second, clauses[1])
        join = 'joins' if waits and self.rng.random() < 0.5 else 'then'
        lead = self.framed(clauses[0])
        lead = lead if lead.endswith(clauses[0]) else clauses[0]
        return replace(self.finish('sequence', [
            Stage(self.say(self.loosely(lead, 1), act.values), (act,)),
            Stage(self.language.say(self.rng, join) + self.say(clauses[1], then.values), (act,))],
            template=' + '.join(clauses)), then=(then,))

    def corrected(self, tool: SimTool) -> Optional[Intent]:
        """Ask for something and correct a value of it."""
        asks = [a for a in tool.concept.ask if slots(a)]
        if not asks:
            return None
        clause = self.rng.choice(asks)
        act = self.act(tool, clause)
        other = self.changed(act)
        if other is None or other[1] not in slots(clause):
            return None
        changed, name = replace(other[0], key=self.key()), other[1]
        template = self.framed(clause) if self.rng.random() < 0.6 else clause
        if not template.endswith(clause):
            template = clause
        words = clause.split(' ')
        at = next(i for i, w in enumerate(words) if f'{{{name}}}' in w)
        # what is said again: the value with its article, or everything
        again = ' '.join(words[max(0, at - self.rng.choice((1, 1, 2))):]) \
            if self.rng.random() < 0.7 else clause
        if f'{{{name}}}' not in again:
            again = clause
        first = self.say(self.loosely(template, 1), act.values)
        plan: Tuple[Act, ...] = (act,)
        if template.endswith(f'{{{name}}}') and ' ' in spoken(act.values[name]) and (
                self.rng.random() < 0.35):
            # "find the red, no, the green cup"
            first, plan = first.rpartition(' ')[0], ()
        return self.finish('corrected', [
            Stage(first, plan), *self.taken_back(
                self.language.say(self.rng, 'corrections'), self.say(again, changed.values),
                changed)], template=template)

    @staticmethod
    def taken_back(fix: str, words: str, act: Act) -> List[Stage]:
        """
        Return the stages of "no, wait, the garage": what was said last falls with the first word.

        What is meant instead is another call, whether the first one has begun or not, and nothing
        is left standing in between.
        """
        back = _BACK.search(fix)
        at = back.end() if back else len(fix.rstrip())
        return [Stage(fix[:at]), Stage(fix[at:] + words, (act,))]

    def replaced(self, tools: Sequence[SimTool]) -> Intent:
        """Ask for something, and then for something else in its place."""
        first, second = tools
        clause = self.rng.choice(first.concept.ask)
        act = self.act(first, clause)
        other = self.rng.choice(second.concept.ask)
        then = self.act(second, other)
        back, rest = self.language.say(self.rng, 'only_that').split('{ask}')
        return self.finish('replaced', [
            Stage(self.say(self.loosely(self.framed(clause), 1), act.values), (act,)),
            *self.taken_back(back, self.say(other + rest, then.values), then)], template=clause)

    def removed(self, tools: Sequence[SimTool]) -> Intent:
        """Ask for two things and take one of them back."""
        intent = self.several(tools[:2], 'removed')
        stays, goes = intent.plan
        if self.rng.random() < 0.3:
            stays, goes = goes, stays
        words = fill(self.language.say(self.rng, 'removals'),
                     {'inf': goes.inf(), 'gerund': goes.gerund()})
        stages = [Stage(s.words.rstrip('.?'), s.plan) for s in intent.stages]
        mark = '' if self._plain else '.'
        words = re.sub(r'[,.]', '', words).lower() if self._plain else words
        return Intent('removed', (*stages, Stage(words + mark, (stays,))),
                      template=intent.template)

    # -- the agent's own tools ---------------------------------------------------------------------
    def helper(self, kind: str) -> Optional[Intent]:
        """Ask for a helper in the background; kinds: fork, spawn."""
        tools = [t for t in self.tools if t.concept.ask and t.spec.effect != 'confirm']
        if not tools:
            return None
        tool = self.rng.choice(tools)
        clause = self.rng.choice(tool.concept.ask)
        inner = self.act(tool, clause)
        task = fill(clause, inner.values)
        act = self.builtin('fork', task=task) if kind == 'fork' else self.builtin(
            'spawn', brief=task, tools=[tool.spec.name])
        template = self.rng.choice(list(self.language.phrases[kind]))
        return self.finish(kind, [Stage(template.replace('{ask}', task), (act,))],
                           'A helper is on it.', template, [inner])

    # -- talk -------------------------------------------------------------------------------------
    def small_talk(self) -> Intent:
        """Say something that needs no tool."""
        words, reply = self.rng.choice(list(self.language.phrases['small_talk']))
        return self.finish('small_talk', [Stage(words)], reply, words)

    def about(self) -> Intent:
        """Ask what the robot can do; the answer is long enough to be interrupted."""
        can = [t.spec.description.rstrip('.').split('. ')[0] for t in self.tools[:4]]
        parts = [c[0].lower() + c[1:] for c in can]
        reply = 'I am a robot with tools. ' + ' '.join(f'I can {p}.' for p in parts)
        return self.finish('about', [Stage(self.language.say(self.rng, 'about'))],
                           reply + ' Just tell me what you need.')
