"""What people say of timers, alarms and reminders, and the calls that they mean."""
from dataclasses import replace
from typing import Tuple

from async_agent_ros.training.catalogues import SimTool
from async_agent_ros.training.intents import Intent, Stage
from async_agent_ros.training.speaker import NUMBERS, Speaker
from async_agent_ros.training.tables import fill

_SPANS = (('half a minute', 30), ('a minute', 60), ('one and a half minutes', 90),
          ('two and a half minutes', 150), ('a quarter of an hour', 900), ('half an hour', 1800),
          ('three quarters of an hour', 2700), ('an hour', 3600), ('two hours', 7200),
          ('one and a half hours', 5400), ('three hours', 10800), ('four hours', 14400),
          ('a couple of minutes', 120))


def span(s: Speaker) -> Tuple[str, int]:
    """Return a time span in words and in seconds."""
    if s.rng.random() < 0.2:
        return s.rng.choice(_SPANS)
    count, unit, seconds = _counted(s)
    return f'{s.value(count)} {unit}{"s" * (count != 1)}', seconds


def short_span(s: Speaker) -> Tuple[str, int]:
    """Return a time span as it stands before a noun, "an eight minute", and in seconds."""
    count, unit, seconds = _counted(s)
    words = s.value(count)
    return f'{"an" if words in ("8", "11", "eight", "eleven") else "a"} {words} {unit}', seconds


def _counted(s: Speaker) -> Tuple[int, str, int]:
    if s.rng.random() < 0.3:
        count = s.rng.choice((10, 15, 20, 30, 40, 45, 50, 60, 90))
        return count, 'second', count
    count = s.rng.choice((*range(1, 13), 15, 20, 25, 30, 40, 45, 50))
    return count, 'minute', 60 * count


def timer(s: Speaker, kind: str) -> Intent:
    """Ask for a timer; kinds: timer, remind, every, at."""
    chore = s.rng.choice(list(s.language.phrases['chores']))
    template = s.rng.choice(list(s.language.phrases[kind]))
    words, seconds = short_span(s) if '{short}' in template else span(s)
    text = fill(template, {'span': words, 'short': words, 'chore': chore})
    # the answer repeats the time: "an eight minute timer" is set for eight minutes
    if '{short}' in template:
        words = words.split(' ', 1)[1] + 's' * (not words.endswith((' 1 minute', ' one minute')))
    text = s.in_context(text if ',' in template or kind == 'at' else s.loosely(text, 1))
    if kind == 'at':
        clock, at = time_of_day(s)
        text = fill(text, {'time': clock})
        act = s.builtin('set_timer', f'I will wake you at {clock}.', at=at)
    elif kind == 'every':
        act = s.builtin('set_timer', f'I will remind you every {words}.', every_s=seconds,
                        text=chore)
    elif kind == 'remind':
        act = s.builtin('set_timer', f'I will remind you in {words}.', after_s=seconds,
                        text=chore)
    else:
        act = s.builtin('set_timer', f'The timer is set for {words}.', after_s=seconds)
    return s.finish(kind, [Stage(text, (act,))], template=template)


def corrected(s: Speaker) -> Intent:
    """Ask for a timer and correct the time."""
    template = s.language.say(s.rng, 'timer_corrected')
    (wrong, false), (words, seconds) = span(s), span(s)
    act = s.builtin('set_timer', f'The timer is set for {wrong}.', after_s=false)
    head, tail = template.split(',', 1)
    return s.finish('timer', [
        Stage(fill(head, {'wrong': wrong}), (act,)),
        Stage(fill(',' + tail, {'span': words}),
              (replace(act, arguments={'after_s': seconds},
                       ack=f'The timer is set for {words}.'),))], template=template)


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


def time_of_day(s: Speaker) -> Tuple[str, str]:
    """Return a time in words or digits, and as HH:MM."""
    hour, minute = s.rng.randrange(24), s.rng.randrange(0, 60, 5)
    if not 1 <= hour <= 11 or s.rng.random() < 0.3:
        return f'{hour}:{minute:02}', f'{hour:02}:{minute:02}'
    minute = s.rng.choice((0, 10, 15, 15, 20, 30, 30, 40, 45, 45, 45, 50))
    name, after = NUMBERS[hour], NUMBERS[hour + 1]
    words = {0: f"{name} o'clock", 10: f'ten past {name}', 15: f'quarter past {name}',
             20: f'twenty past {name}', 30: f'half past {name}', 40: f'twenty to {after}',
             45: f'quarter to {after}', 50: f'ten to {after}'}[minute]
    return words, f'{hour:02}:{minute:02}'
