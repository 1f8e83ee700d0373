"""What people say of timers, alarms and reminders, and the calls that they mean."""
from dataclasses import replace
from typing import Tuple

from async_agent_ros.training.catalogues import SimTool
from async_agent_ros.training.intents import Intent, Stage
from async_agent_ros.training.speaker import NUMBERS, Speaker
from async_agent_ros.training.tables import fill

_SPANS = ('half a minute', 'a minute', 'one and a half minutes', 'two and a half minutes',
          'a minute and a half', 'a quarter of an hour', 'half an hour',
          'three quarters of an hour', 'an hour', 'two hours', 'one and a half hours',
          'an hour and a half', 'two and a half hours', 'three hours', 'four hours', 'six hours',
          'a couple of minutes', 'an hour and ten minutes', 'two minutes and thirty seconds')

_MINUTES = {10: 'ten', 15: 'fifteen', 20: 'twenty', 30: 'thirty', 40: 'forty', 45: 'forty-five',
            50: 'fifty'}


def span(s: Speaker) -> str:
    """Return a time span in words."""
    if s.rng.random() < 0.25:
        return s.rng.choice(_SPANS)
    count, unit = _counted(s)
    return f'{s.value(count)} {unit}{"s" * (count != 1)}'


def short_span(s: Speaker) -> str:
    """Return a time span as it stands before a noun, "an eight minute"."""
    count, unit = _counted(s)
    words = s.value(count)
    return f'{"an" if words in ("8", "11", "eight", "eleven") else "a"} {words} {unit}'


def _counted(s: Speaker) -> Tuple[int, str]:
    if s.rng.random() < 0.3:
        return s.rng.choice((10, 15, 20, 30, 40, 45, 50, 60, 90)), 'second'
    return s.rng.choice((*range(1, 13), 15, 20, 25, 30, 40, 45, 50)), 'minute'


def timer(s: Speaker, kind: str) -> Intent:
    """Ask for a timer; kinds: timer, remind, every, at. The call takes the time as it is said."""
    chore = _chore(s)
    template = s.rng.choice(list(s.language.phrases[kind]))
    words = short_span(s) if '{short}' in template else span(s)
    text = fill(template, {'span': words, 'short': words, 'chore': chore})
    # the answer repeats the time: "an eight minute timer" is set for eight minutes
    if '{short}' in template:
        words = words.split(' ', 1)[1] + 's' * (not words.endswith((' 1 minute', ' one minute')))
    text = s.in_context(text if ',' in template or kind == 'at' else s.loosely(text, 1))
    if kind == 'at':
        clock = time_of_day(s)
        text = fill(text, {'time': clock})
        act = s.builtin('set_timer', f'I will wake you at {clock}.', at=clock)
    elif kind == 'every':
        act = s.builtin('set_timer', f'I will remind you every {words}.', every=words,
                        text=chore)
    elif kind == 'remind':
        act = s.builtin('set_timer', f'I will remind you in {words}.', after=words, text=chore)
    else:
        act = s.builtin('set_timer', f'The timer is set for {words}.', after=words)
    return s.finish(kind, [Stage(text, (act,))], template=template)


def corrected(s: Speaker) -> Intent:
    """Ask for a timer and correct the time."""
    template = s.language.say(s.rng, 'timer_corrected')
    wrong, words = span(s), span(s)
    act = s.builtin('set_timer', f'The timer is set for {wrong}.', after=wrong)
    head, tail = template.split(',', 1)
    return s.finish('timer', [
        Stage(fill(head, {'wrong': wrong}), (act,)),
        Stage(fill(',' + tail, {'span': words}),
              (replace(act, arguments={'after': words},
                       ack=f'The timer is set for {words}.'),))], template=template)


def _chore(s: Speaker) -> str:
    """Return what to be reminded of, as it is said; half of it of two lists, to be copied."""
    phrases = s.language.phrases
    if 'chore_verbs' in phrases and s.rng.random() < 0.5:
        return f'{s.language.say(s.rng, "chore_verbs")} {s.language.say(s.rng, "chore_things")}'
    return s.language.say(s.rng, 'chores')


def beside(s: Speaker, tool: SimTool) -> Intent:
    """Ask for a tool and for a timer in one breath, in either order."""
    asked, timed = s.request(tool), timer(s, s.rng.choice(('timer', 'remind')))
    first, second = asked, timed
    if s.rng.random() < 0.4:
        first, second = timed, asked
    # one breath: a thinking pause of the second half is left out
    words, end = second.text.rstrip('.?'), second.text[len(second.text.rstrip('.?')):]
    words = s.language.say(s.rng, 'joins') + words[0].lower() + words[1:] + end
    stages = [Stage(x.words.rstrip('.?'), x.plan, x.pause_s) for x in first.stages]
    return Intent('parallel', (*stages, Stage(words, (*first.plan, *second.plan))),
                  template=f'{first.template} + {second.template}')


def time_of_day(s: Speaker) -> str:
    """Return a time of day in words or digits."""
    hour, minute = s.rng.randrange(24), s.rng.randrange(0, 60, 5)
    if not 1 <= hour <= 11 or s.rng.random() < 0.3:
        return f'{hour}:{minute:02}'
    minute = s.rng.choice((0, 0, 10, 15, 15, 20, 30, 30, 40, 45, 45, 45, 50))
    name, after = NUMBERS[hour], NUMBERS[hour + 1]
    if minute and s.rng.random() < 0.25:
        return f'{name} {_MINUTES[minute]}'
    words = {0: name, 10: f'ten past {name}', 15: f'quarter past {name}',
             20: f'twenty past {name}', 30: f'half past {name}', 40: f'twenty to {after}',
             45: f'quarter to {after}', 50: f'ten to {after}'}[minute]
    if not minute:
        words += s.rng.choice((" o'clock", " o'clock", '', ' pm', ' in the morning',
                               ' in the evening'))
    return words
