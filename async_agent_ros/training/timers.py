"""What people say of timers, alarms and reminders, and the calls that they mean."""
from typing import Tuple

from async_agent_ros.training.intents import Act, Intent, Stage
from async_agent_ros.training.speaker import NUMBERS, Speaker
from async_agent_ros.training.tables import fill

_SPANS = (('half a minute', 30), ('a minute', 60), ('one and a half minutes', 90),
          ('two and a half minutes', 150), ('a quarter of an hour', 900), ('half an hour', 1800),
          ('an hour', 3600), ('two hours', 7200), ('one and a half hours', 5400))


def span(s: Speaker) -> Tuple[str, int]:
    """Return a time span in words and in seconds."""
    kind = s.rng.random()
    if kind < 0.2:
        return s.rng.choice(_SPANS)
    if kind < 0.55:
        count = s.rng.choice((10, 15, 20, 30, 40, 45, 50, 60, 90))
        return f'{s.value(count)} seconds', count
    count = s.rng.choice((1, 2, 3, 4, 5, 10, 15, 20, 25))
    return f'{s.value(count)} minute{"s" * (count != 1)}', 60 * count


def timer(s: Speaker, kind: str) -> Intent:
    """Ask for a timer; kinds: timer, remind, every, at."""
    words, seconds = span(s)
    chore = s.rng.choice(list(s.language.phrases['chores']))
    template = s.rng.choice(list(s.language.phrases[kind]))
    text = fill(template, {'span': words, 'chore': chore})
    text = s.in_context(text if ',' in template or kind == 'at' else s.loosely(text, 1))
    if kind == 'at':
        clock, at = time_of_day(s)
        text = fill(text, {'time': clock})
        act = s.builtin('set_timer', at=at)
        reply = f'I will wake you at {clock}.'
    elif kind == 'every':
        act = s.builtin('set_timer', every_s=seconds, text=chore)
        reply = f'I will remind you every {words}.'
    elif kind == 'remind':
        act = s.builtin('set_timer', after_s=seconds, text=chore)
        reply = f'I will remind you in {words}.'
    else:
        act = s.builtin('set_timer', after_s=seconds)
        reply = f'The timer is set for {words}.'
    return s.finish(kind, [Stage(text, (act,))], reply, template)


def corrected(s: Speaker) -> Intent:
    """Ask for a timer and correct the time."""
    template = s.language.say(s.rng, 'timer_corrected')
    (wrong, false), (words, seconds) = span(s), span(s)
    act = s.builtin('set_timer', after_s=false)
    head, tail = template.split(',', 1)
    return s.finish('timer', [
        Stage(fill(head, {'wrong': wrong}), (act,)),
        Stage(fill(',' + tail, {'span': words}),
              (Act(act.key, act.name, {'after_s': seconds}),))],
        f'The timer is set for {words}.', template)


def time_of_day(s: Speaker) -> Tuple[str, str]:
    """Return a time in words or digits, and as HH:MM."""
    hour, minute = s.rng.randrange(24), s.rng.randrange(0, 60, 5)
    if not 1 <= hour <= 11 or s.rng.random() < 0.4:
        return f'{hour}:{minute:02}', f'{hour:02}:{minute:02}'
    minute = s.rng.choice((0, 15, 30, 30, 45))
    name, after = NUMBERS[hour], NUMBERS[hour + 1]
    words = {0: f"{name} o'clock", 15: f'quarter past {name}', 30: f'half past {name}',
             45: f'quarter to {after}'}[minute]
    return words, f'{hour:02}:{minute:02}'
