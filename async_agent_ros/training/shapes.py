"""
Shapes of conversations: what the person does, and when, so that a certain thing happens.

A conversation is two to four shapes in a row over one catalogue. A shape that a catalogue does not
allow (nothing to depend on, nothing that takes time) returns None, and another one is drawn.
"""
from typing import Callable, Dict, List, Optional, Tuple

from async_agent_ros.core.spoken_time import duration_s
from async_agent_ros.training import errands, refusals, timers
from async_agent_ros.training.intents import Act, Intent, Stage
from async_agent_ros.training.simulation import Move, Simulation
from async_agent_ros.training.speaker import Speaker
from async_agent_ros.training.tables import fill

Shape = Callable[[Speaker], Optional[List[Move]]]


def _reads(tool) -> bool:
    return tool.reads


def _acts(tool) -> bool:
    return tool.spec.effect == 'state_changing'


def _slow(tool) -> bool:
    return _acts(tool) and tool.concept.slow[1] >= 8.0


def _drives(tool) -> bool:
    return _slow(tool) and tool.concept.left == 'metres' and any(
        v.listed and not v.optional for v in tool.allowed.values())


def _now(intent: Optional[Intent]) -> Callable[[Simulation], Optional[Intent]]:
    return lambda sim: intent


def _one(speaker: Speaker, test, when: str = 'idle', kind: str = 'request') -> Optional[Move]:
    tool = speaker.pick(test)
    return Move(when, _now(speaker.request(tool, kind))) if tool else None


def _list(*moves: Optional[Move]) -> Optional[List[Move]]:
    return None if None in moves else list(moves)


def command(s):
    """Ask for something to be done."""
    return _list(_one(s, _acts))


def question(s):
    """Ask for something to be looked up."""
    return _list(_one(s, _reads))


def _at_once(s, count: int, test=lambda tool: True):
    """Return some tools that can be asked for in one breath and run side by side."""
    fitting = [t for t in s.tools if t.concept.ask and t.spec.effect != 'confirm' and test(t)]
    if len(fitting) < 2:
        return None
    chosen = s.rng.sample(fitting, min(len(fitting), count))
    wait = any(a.spec.name in b.concept.after for a in chosen for b in chosen)
    return None if wait else chosen


def parallel(s):
    """Ask for two or three things at once."""
    kind = s.rng.random()
    if kind < 0.2:
        return beside(s)
    test = _reads if kind < 0.55 else lambda tool: True
    tools = _at_once(s, s.rng.choice((2, 2, 3)), test)
    return tools and [Move('idle', _now(s.several(tools)))]


def beside(s):
    """Ask for something that takes long, and for something to be looked up meanwhile."""
    first, second = s.pick(lambda t: _slow(t) and t.concept.ask), s.pick(_reads)
    if first is None or second is None or first.spec.name in second.concept.after:
        return None
    return [Move('idle', _now(s.several([first, second])))]


def sequence(s):
    """Ask for something, and for something else when that is done."""
    first = s.pick(lambda t: _slow(t) and t.concept.ask)
    others = [t for t in s.tools if t is not first and t.concept.ask
              and t.spec.effect != 'confirm']
    if first is None or not others:
        return None
    # a lookup that has nothing to wait for seldom waits: it runs beside
    waiting = [t for t in others if first.spec.name in t.concept.after] or [
        t for t in others if not t.reads or s.rng.random() < 0.25]
    return waiting and [Move('idle', _now(s.sequence(first, s.rng.choice(waiting))))]


def dependent(s):
    """Ask for something that needs the result of something else."""
    intent = errands.dependent(s)
    return intent and [Move('idle', _now(intent))]


def corrected(s):
    """Say it wrong and correct it in the same breath."""
    tool = s.pick(lambda t: t.concept.ask and t.allowed)
    intent = tool and s.corrected(tool)
    return intent and [Move('idle', _now(intent))]


def removed(s):
    """Ask for two things and take one back in the same breath."""
    tools = _at_once(s, 2)
    return tools and [Move('idle', _now(s.removed(tools)))]


def replaced(s):
    """Ask for something and then for something else in its place, in one breath."""
    fitting = [t for t in s.tools if t.concept.ask and t.spec.effect != 'confirm']
    if len(fitting) < 2:
        return None
    return [Move('idle', _now(s.replaced(s.rng.sample(fitting, 2))))]


def listed(s):
    """Ask the same of two or three things."""
    tool = s.pick(lambda t: t.reads and t.concept.ask and t.allowed)
    intent = tool and errands.listed(s, tool)
    return intent and [Move('idle', _now(intent))]


def multitask(s):
    """Go on talking while a call runs."""
    moves = _list(_one(s, _slow))
    if moves is None:
        return None
    other = s.pick(lambda t: t.spec.name != _name(moves[0]))
    second = s.request(other) if other and s.rng.random() < 0.7 else s.small_talk()
    return [*moves, Move('running', _now(second))]


def _name(move: Move) -> str:
    return move.make(None).plan[0].name


def progress(s):
    """Ask how far it is, or what is going on."""
    drives = s.rng.random() < 0.5 and s.pick(_drives)
    moves = _list(_one(s, _drives if drives else _slow))
    if moves is None:
        return None
    kind = s.rng.choice(('progress', 'progress', 'doing'))
    if drives and s.rng.random() < 0.6:
        act = moves[0].make(None).plan[0]
        place = next(v for n, v in act.values.items() if act.tool.allowed[n].listed)
        kind, words = 'progress', s.language.say(s.rng, 'distance', place=place)
    else:
        words = s.language.say(s.rng, kind)
    ask = s.finish(kind, [Stage(s.loosely(words))])
    return [*moves, Move('running', _now(ask), (1.0, 12.0))]


def idle_progress(s):
    """Ask how far it is when nothing runs."""
    kind = s.rng.choice(('progress', 'doing'))
    return [Move('idle', _now(s.finish(kind, [Stage(s.language.say(s.rng, kind))])))]


def interruption(s):
    """Cut the agent off with something else."""
    second = s.pick(lambda t: t.spec.effect != 'confirm')
    if second is None:
        return None
    cut = s.request(second) if s.rng.random() < 0.8 else s.small_talk()
    return [Move('idle', _now(s.about())), Move('speaking', _now(cut), (0.8, 5.0))]


def backchannel(s):
    """Mutter while the agent speaks."""
    words = s.rng.choice(('mm-hm', 'uh-huh', 'okay', 'right', 'yeah'))
    return [Move('idle', _now(s.about())),
            Move('speaking', _now(Intent('backchannel', (Stage(words),))), (0.8, 5.0))]


def out_of_order(s):
    """Ask for something slow, then for something fast that ends first."""
    return _list(_one(s, _slow), _one(s, _reads, 'running'))


def _cancelling(s, act: Act, kind: str) -> Intent:
    cancel = Act(s.key(), 'cancel', {}, None, {'key': act.key})
    if kind == 'that':
        words = s.language.say(s.rng, 'cancel_that')
    else:
        words = fill(s.language.say(s.rng, 'cancel'), {'gerund': act.gerund()})
    return s.finish('cancel', [Stage(s.loosely(words, 1), (cancel,))])


def cancel(s):
    """Take back what runs."""
    moves = _list(_one(s, _slow))
    if moves is None:
        return None
    act = moves[0].make(None).plan[0]
    return [*moves, Move('running', _now(_cancelling(s, act, s.rng.choice(('that', 'named')))))]


def cancel_one(s):
    """Take back one of two things that run."""
    tools = _at_once(s, 2, _slow)
    if tools is None:
        return None
    both = s.several(tools)
    act = s.rng.choice(both.plan)
    return [Move('idle', _now(both)), Move('running', _now(_cancelling(s, act, 'named')))]


def instead(s):
    """Want something else than what runs."""
    tool = s.pick(lambda t: _slow(t) and t.concept.ask and t.allowed)
    if tool is None:
        return None
    first = s.request(tool)
    other = s.changed(first.plan[0])
    if other is None:
        return None
    changed = Act(s.key(), other[0].name, other[0].arguments, tool, other[0].values)
    clause = next((a for a in tool.concept.ask if f'{{{other[1]}}}' in a), None)
    if clause is None:
        return None
    words = s.say(s.language.say(s.rng, 'instead').replace('{ask}', clause), changed.values)
    stop = Act(s.key(), 'cancel', {}, None, {'key': first.plan[0].key})
    return [Move('idle', _now(first)),
            Move('running', _now(s.finish('instead', [Stage(words, (stop, changed))])))]


def stop(s):
    """Order it to stand still, where the robot's own tools move it."""
    tool = s.pick(lambda t: t.spec.motion and _slow(t))
    if tool is None:
        return None
    return [Move('idle', _now(s.request(tool))),
            Move('running', _now(s.finish('stop', [Stage(s.language.say(s.rng, 'stop'))])))]


def timer(s):
    """Set a timer and hear it."""
    kind = s.rng.choice(
        ('timer', 'timer', 'remind', 'remind', 'at', 'at', 'corrected', 'corrected'))
    intent = timers.corrected(s) if kind == 'corrected' else timers.timer(s, kind)
    moves = [Move('idle', _now(intent))]
    if 'after' in intent.plan[0].arguments and s.rng.random() < 0.6:
        moves.append(Move('fired', lambda sim: None))
    return moves


def timer_beside(s):
    """Set a timer and ask for something else in the same breath."""
    tool = s.pick(lambda t: t.concept.ask and t.spec.effect != 'confirm')
    return tool and [Move('idle', _now(timers.beside(s, tool)))]


def every(s):
    """Be reminded again and again, until it is enough."""
    intent = timers.timer(s, 'every')
    period = duration_s(intent.plan[0].arguments['every'])
    stop_it = Act(s.key(), 'cancel', {}, None, {'key': intent.plan[0].key})
    enough = s.finish('cancel', [Stage(s.language.say(s.rng, 'cancel_timer'), (stop_it,))])
    return [Move('idle', _now(intent)),
            Move('idle', _now(enough), (period * 1.1 + 6.0, period * 1.6 + 6.0))]


def clock(s):
    """Ask for the time."""
    words = s.language.say(s.rng, 'clock')
    act = Act(s.key(), 'now', {}, None, {'day': 'day' in words})
    return [Move('idle', _now(s.finish('clock', [Stage(s.loosely(words), (act,))])))]


def both(s):
    """Ask for two things and for one report of both."""
    tools = _at_once(s, 2)
    if tools is None:
        return None
    intent = s.several(tools, 'both')
    wait = s.builtin('wait')
    tail = s.language.say(s.rng, 'both').split('{ask}')[1]
    stages = [Stage(x.words.rstrip('.?'), x.plan) for x in intent.stages]
    return [Move('idle', _now(Intent('both', (*stages, Stage(tail, (*intent.plan, wait))),
                                     template=intent.template)))]


def _helper(kind):
    def shape(s):
        intent = s.helper(kind)
        if intent is None:
            return None
        moves = [Move('idle', _now(intent))]
        if s.rng.random() < 0.4:
            moves.append(Move('running', _now(s.small_talk())))
        return moves
    return shape


fork, spawn = _helper('fork'), _helper('spawn')


def failure(s):
    """Ask for something that will fail."""
    tool = s.pick(lambda t: t.spec.effect != 'confirm')
    if tool is None:
        return None
    intent = s.request(tool)

    def make(sim):
        sim.fail_next = True
        return intent
    return [Move('idle', make)]


def unmeetable(s):
    """Ask for what no tool can do."""
    return [Move('idle', _now(refusals.unmeetable(s)))]


def unknown_value(s):
    """Ask for a value that the schema does not list, and beside it for one that it does."""
    found = refusals.unknown_value(s)
    if found is None:
        return None
    # Without the second one, a model learns to refuse instead of to look the value up.
    tool, unknown = found
    moves = [Move('idle', _now(unknown)), Move('idle', _now(s.request(tool)))]
    return moves if s.rng.random() < 0.5 else moves[::-1]


def small_talk(s):
    """Chat."""
    return [Move('idle', _now(s.small_talk()))]


def about(s):
    """Ask what it can do; while something runs that is another question than what it is doing."""
    moves = _list(_one(s, _slow)) if s.rng.random() < 0.6 else None
    if moves is None:
        return [Move('idle', _now(s.about()))]
    return [*moves, Move('running', _now(s.about()), (0.5, 8.0))]


def confirmed(s):
    """Ask for something that needs a yes, and give it or not."""
    tool = s.pick(lambda t: t.spec.effect == 'confirm')
    if tool is None:
        return None
    yes = s.rng.random() < 0.6
    words = s.rng.choice(('yes', 'yes, please', 'go ahead', 'sure, do it') if yes
                         else ('no', 'no, better not', "don't"))
    return [Move('idle', _now(s.request(tool))),
            Move('asked', _now(s.finish('yes' if yes else 'no', [Stage(words)])))]


def again(s):
    """Ask for what runs already."""
    tool = s.pick(lambda t: _slow(t) and t.concept.ask)
    if tool is None:
        return None
    first = s.request(tool)
    act = first.plan[0]
    words = s.say(s.framed(s.rng.choice(tool.concept.ask)), act.words)
    twin = Act(s.key(), act.name, act.arguments, tool, act.values)
    if '{' in words:
        return None
    return [Move('idle', _now(first)), Move('running', _now(s.finish(
        'again', [Stage(words, (twin,))])))]


SHAPES: Dict[str, Tuple[Shape, float]] = {
    'command': (command, 16), 'question': (question, 17), 'parallel': (parallel, 56),
    'sequence': (sequence, 34), 'dependent': (dependent, 32),
    'corrected': (corrected, 28), 'removed': (removed, 8),
    'replaced': (replaced, 6), 'listed': (listed, 22),
    'multitask': (multitask, 6), 'progress': (progress, 12), 'idle_progress': (idle_progress, 1),
    'interruption': (interruption, 4), 'backchannel': (backchannel, 1),
    'out_of_order': (out_of_order, 4), 'cancel': (cancel, 4), 'cancel_one': (cancel_one, 2),
    'instead': (instead, 4), 'stop': (stop, 1), 'timer': (timer, 16),
    'timer_beside': (timer_beside, 24), 'every': (every, 1),
    'clock': (clock, 1), 'both': (both, 1), 'fork': (fork, 2), 'spawn': (spawn, 2),
    'failure': (failure, 4), 'unmeetable': (unmeetable, 14),
    'unknown_value': (unknown_value, 28),
    'small_talk': (small_talk, 7), 'about': (about, 8), 'confirmed': (confirmed, 4),
    'again': (again, 1)}
"""Shape, and how often it is trained, by name: what a small model finds hard, more often."""


def draw(rng, speaker: Speaker, only: Tuple[str, ...] = (),
         evenly: bool = False) -> Tuple[str, List[Move]]:
    """Return a shape that this catalogue allows, and its moves; `evenly`: each as often."""
    names = [n for n in SHAPES if not only or n in only]
    for _ in range(40):
        name = rng.choices(names, None if evenly else [SHAPES[n][1] for n in names])[0]
        moves = SHAPES[name][0](speaker)
        if moves:
            return name, moves
    return 'small_talk', small_talk(speaker)
