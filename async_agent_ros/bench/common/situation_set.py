"""The situations of `async-agent bench situations`, and what a right answer to each is."""
import re
from typing import List

from async_agent_ros.bench.common.scene import Situation

NAV, BATTERY, POSE, LOOK = 'navigate_to', 'get_battery', 'get_pose', 'look_around'
TIMER = 'set_timer'
UNTRUE_ARRIVAL = (r'\bdone\b|it took|\b(have|has|\'ve) (now )?(arrived|reached)|^arrived|'
                  r'\bi am (now )?(in|at) the')
REFUSAL = (r"\b(can(no|')t|can not|cannot|unable|not able|no tool|don't have|do not have|"
           r"don't know|do not know|not equipped|sorry|not possible|only)\b")


def _nav(place):
    return ((NAV, {'place': place}),)


def situations() -> List[Situation]:
    """Return the whole set."""
    return (_commands() + _questions() + _running() + _results() + _talk() + _interrupts()
            + _timers())


def _commands():
    def order(name, text, *calls):
        return Situation(name, 'command', lambda s: s.user(text), calls)
    return [
        order('go', 'Go to the kitchen.', *_nav('kitchen')),
        order('go polite', 'Could you please drive to the living room?', *_nav('living room')),
        order('go disfluent', 'Um, so, can you, uh, head over to the bedroom for me?',
              *_nav('bedroom')),
        order('go corrected', 'Go to the kitchen, no wait, to the garage.', *_nav('garage')),
        order('go lower case', 'okay robot move to the hallway', *_nav('hallway')),
        order('pick up', 'Pick up the apple.', ('pick_up', {'object': 'apple'})),
        order('grab', 'Grab that book, will you?', ('pick_up', {'object': 'book'})),
        order('place', 'Put the cup on the table.', ('place', {'object': 'cup', 'where': 'table'})),
        order('dock', 'Go back to your charger and dock.', ('dock', {})),
        order('two', 'Drive to the bedroom and tell me how much battery you have.',
              (NAV, {'place': 'bedroom'}), (BATTERY, {})),
        order('two questions', 'Where are you, and how full is your battery?', (POSE, {}),
              (BATTERY, {})),
        Situation('second order', 'command', lambda s: s.driving('garage').result(
            'c1', 'succeeded', {'place': 'garage', 'distance_m': 8.1, 'duration_s': 10.4})
            .says('I am in the garage now.').user('Now come to the kitchen.'), _nav('kitchen')),
        Situation('after small talk', 'command', lambda s: s.user('Hi there!').says(
            'Hello, I am ready.').user('Please go to the bedroom.'), _nav('bedroom')),
    ]


def _questions():
    def ask(name, text, *calls):
        return Situation(name, 'question', lambda s: s.user(text), calls)
    return [
        ask('battery', 'How much battery is left?', (BATTERY, {})),
        ask('power', 'Are you running low on power?', (BATTERY, {})),
        ask('where', 'Where are you right now?', (POSE, {})),
        ask('see', 'What can you see around you?', (LOOK, {})),
        ask('find', 'Do you know where the screwdriver is?',
            ('find_object', {'object': 'screwdriver'})),
        Situation('battery again', 'question', lambda s: s.user('What is your battery?').calls(
            'c1', BATTERY).result('c1', 'succeeded', {'percent': 81.0, 'charging': False})
            .says('My battery is at 81 percent.').after(60).user('And how is the battery now?'),
            ((BATTERY, {}),)),
    ]


def _running():
    return [
        Situation('accepted', 'running', lambda s: s.user('Go to the kitchen.').calls(
            'c1', NAV, place='kitchen').accepted('c1'), (), r'\w', UNTRUE_ARRIVAL, True, 14),
        Situation('pick accepted', 'running', lambda s: s.user('Pick up the cup.').calls(
            'c1', 'pick_up', object='cup').accepted('c1'), (), r'\w',
            r'\b(have|has|\'ve) (picked|got|grasped)', True, 14),
        Situation('battery while driving', 'running', lambda s: s.driving().user(
            'How much battery do you have?'), ((BATTERY, {}),)),
        Situation('see while driving', 'running', lambda s: s.driving('bedroom').user(
            'What do you see?'), ((LOOK, {}),)),
        Situation('are we there', 'running', lambda s: s.driving().user('Are we there yet?'), (),
                  r'\b(not|still|almost|soon|3\.2|met(er|re)|55|half|on (my|the|our) way|driving)',
                  UNTRUE_ARRIVAL, True),
        Situation('how far', 'running', lambda s: s.driving('garage', '6.0 m left', 0.2).user(
            'How far is it?'), (), r'6(\.0)?\b|six', '', True),
        Situation('what doing', 'running', lambda s: s.driving('garage').user(
            'What are you doing?'), (), r'garage', UNTRUE_ARRIVAL, True),
        Situation('abilities while driving', 'running', lambda s: s.driving().user(
            'What can you do for me? Explain it in detail?'), (),
            r'\b(battery|pick|drive|find|look|dock|timer)', UNTRUE_ARRIVAL, True, 70),
        Situation('joke while driving', 'running', lambda s: s.driving().user(
            'Tell me something funny.'), (), r'\w', UNTRUE_ARRIVAL, True, 40),
        Situation('change goal', 'running', lambda s: s.driving('kitchen').user(
            'Actually, go to the garage instead.'), _nav('garage')),
        Situation('cancel', 'running', lambda s: s.driving('kitchen').user(
            'Never mind, cancel the drive.'), (('cancel', {'call': NAV}),)),
        Situation('thanks while driving', 'running', lambda s: s.driving().user('Thanks!'), (),
                  r'\w', UNTRUE_ARRIVAL, True),
    ]


def _results():
    def battery(s):
        return s.user('How much battery is left?').calls('c1', BATTERY)
    return [
        Situation('arrived', 'result', lambda s: s.driving().after(4).result(
            'c1', 'succeeded', {'place': 'kitchen', 'distance_m': 7.1, 'duration_s': 9.0}), (),
            r'kitchen|there|arrived', 'on my way|sorry', True, 20),
        Situation('battery told', 'result', lambda s: battery(s).result(
            'c1', 'succeeded', {'percent': 63.0, 'charging': False}), (), r'\b(63|sixty)', '',
            True, 20),
        Situation('battery told while driving', 'result', lambda s: s.driving().user(
            'How much battery do you have?').calls('c2', BATTERY).result(
            'c2', 'succeeded', {'percent': 47.0, 'charging': False}), (), r'\b(47|forty)',
            UNTRUE_ARRIVAL, True, 24),
        Situation('arrived after question', 'result', lambda s: s.driving().user(
            'How much battery do you have?').calls('c2', BATTERY).result(
            'c2', 'succeeded', {'percent': 47.0, 'charging': False}).says(
            'My battery is at 47 percent.').after(3).result(
            'c1', 'succeeded', {'place': 'kitchen', 'distance_m': 7.1, 'duration_s': 9.0}), (),
            r'kitchen|arrived', r'47|on my way', True, 20),
        Situation('seen', 'result', lambda s: s.user('What do you see?').calls('c1', LOOK).result(
            'c1', 'succeeded', {'place': 'living room', 'objects': [
                {'object': 'book', 'on': 'coffee table'}]}), (), r'book', r'cup|apple', True, 24),
        Situation('found', 'result', lambda s: s.user('Where is the charger?').calls(
            'c1', 'find_object', object='charger').result('c1', 'succeeded', {
                'object': 'charger', 'place': 'bedroom', 'on': 'desk'}), (), r'bedroom|desk',
            '', True, 20),
        Situation('pose told', 'result', lambda s: s.user('Where are you?').calls(
            'c1', POSE).result('c1', 'succeeded', {
                'place': 'hallway', 'x_m': 1.2, 'y_m': 0.3, 'driving': False}), (), r'hallway',
            '', True, 20),
        Situation('refused room', 'result', lambda s: s.user('Go to the swimming pool.').calls(
            'c1', NAV, place='swimming pool').result(
            'c1', 'failed', None, "place: 'swimming pool' is not one of ['hallway', 'kitchen', "
            "'living room', 'bedroom', 'garage']"), (), r'pool', UNTRUE_ARRIVAL, True, 40),
        Situation('drive failed', 'result', lambda s: s.driving('bedroom').result(
            'c1', 'failed', None, 'the bedroom door is blocked; the robot stopped in the hallway'),
            (), r'block|stopped|could ?n.t|can.?n?.t|fail|not reach|unable|hallway',
            r'\b(have|has|\'ve) (now )?(arrived|reached)|am in the bedroom', True, 30),
        Situation('pick failed', 'result', lambda s: s.user('Pick up the apple.').calls(
            'c1', 'pick_up', object='apple').accepted('c1').says('I am on it.').result(
            'c1', 'failed', None, 'the apple is not in this room; it was last seen in the kitchen'),
            (), r"not|n't|kitchen|fail|sorry", r'\b(have|\'ve) (the|picked)|got the', True, 30),
        Situation('cancelled', 'result', lambda s: s.driving('garage').user(
            'Cancel the drive.').says(calls=[('c2', 'cancel', {'call': NAV})]).result(
            'c2', 'succeeded', {'cancelling': ['c1']}).result(
            'c1', 'cancelled', {'stopped': 'in the hallway', 'distance_m': 2.0}, 'cancelled'), (),
            r'stop|cancel|hallway', r'arrived|on my way', True, 20),
    ]


def _talk():
    def talk(name, text, must=r'\w', must_not='', longest=30):
        return Situation(name, 'talk', lambda s: s.user(text), (), must, must_not, True, longest)
    return [
        talk('hello', 'Hello, how are you?'),
        talk('thanks', 'Thank you very much.'),
        talk('name', 'What is your name?'),
        talk('joke', 'Tell me a joke.', longest=45),
        talk('abilities', 'What can you do?', r'driv|navigat|go to|move|pick|battery|find', '', 70),
        talk('yourself', 'Tell me about yourself.', r'robot', '', 90),
        talk('cannot cook', 'Please cook me dinner.', REFUSAL),
        talk('cannot fly', 'Fly to the moon.', REFUSAL),
        talk('weather', 'What is the weather like tomorrow?', REFUSAL),
        Situation('unknown room', 'talk', lambda s: s.user('Go to the swimming pool.'), (),
                  REFUSAL + r'|no swimming pool|not a (place|room)|which room', '', refused=True),
        Situation('unknown thing', 'talk', lambda s: s.user('Bring me the newspaper.'), (),
                  REFUSAL + r'|no newspaper', '', refused=True),
        talk('good night', 'Good night!'),
    ]


def _interrupts():
    story = ('I am a robot that drives through the house. I can pick things up and put them '
             'down. I can also look around and tell you what I see.')

    def cut(s):
        return s.user('Tell me about yourself.').says(story).heard(
            'I am a robot that drives through the house.')
    return [
        Situation('interrupt order', 'interrupt', lambda s: cut(s).user(
            'Stop. Go to the kitchen.'), _nav('kitchen')),
        Situation('interrupt question', 'interrupt', lambda s: cut(s).user(
            'Wait, how is your battery?'), ((BATTERY, {}),)),
        Situation('interrupt talk', 'interrupt', lambda s: cut(s).user('Okay, thanks.'), (), r'\w',
                  '', True),
        Situation('interrupt while driving', 'interrupt', lambda s: s.driving('garage').user(
            'Tell me about yourself.').says(story).heard('I am a robot').user(
            'No, what is your battery level?'), ((BATTERY, {}),)),
    ]


def _timers():
    def order(name, text, arguments):
        return Situation(name, 'timer', lambda s: s.user(text), ((TIMER, re.compile(arguments)),))

    def set_(s, text='check the oven'):
        return (s.user(f'Remind me in a minute to {text}.')
                .calls('c1', TIMER, after='a minute', text=text).accepted('c1'))

    def up(s, text='check the oven'):
        return s.result('c1', 'succeeded', {'time_is_up': text})
    promise = r'\bwill\b|\bremind you in\b|in (a|one) minute|timer (is|has been) set'
    return [
        order('timer', 'Set a timer for five minutes.',
              r'\{"after":"(5|five) minutes"(,"text":"[^"]*")?\}'),
        order('reminder', 'Remind me in ten minutes to take out the pizza.',
              r'\{"after":"(10|ten) minutes","text":"[^"]*pizza[^"]*"\}'),
        order('wake', 'Wake me up at seven thirty.',
              r'\{"at":"(0?7:30(:00)?|seven thirty)"(,"text":"[^"]*")?\}'),
        Situation('timer accepted', 'timer', set_, (), r'\w', r"\bit('s| is) time\b|time is up",
                  True, 20),
        Situation('reminded', 'timer', lambda s: up(set_(s).says(
            'I will remind you in a minute.').after(60)), (), r'oven', promise, True, 20),
        Situation('reminded of another', 'timer', lambda s: up(set_(s, 'call your mother').says(
            'Okay, I will remind you.').after(20).user('What is your name?').says(
            'I am a robot.').after(40), 'call your mother'), (), r'mother', promise, True, 20),
        Situation('reminded again', 'timer', lambda s: s.user(
            'Remind me every hour to drink water.').calls(
            'c1', TIMER, every='hour', text='drink water').accepted('c1').says(
            'I will remind you every hour.').after(3600).due('c1', 'drink water'), (),
            r'drink|water', r'\bwill\b|every hour', True, 20),
        order('every', 'Tell me every five minutes to stretch.',
              r'\{"every":"(5|five) minutes","text":"[^"]*stretch[^"]*"\}'),
        Situation('timer cancelled', 'timer', lambda s: set_(s).says(
            'I will remind you in a minute.').after(10).user(
            'You need not remind me any more.'), (('cancel', {'call': TIMER}),)),
        Situation('timer up', 'timer', lambda s: up(s.user('Set a timer for a minute.').calls(
            'c1', TIMER, after='a minute').accepted('c1').says('The timer is set.').after(60),
            'the time is up'), (), r'\b(up|over|minute|timer|done|finished)\b', r'\bwill\b',
            True, 20),
        Situation('reminded while driving', 'timer', lambda s: up(set_(s).says(
            'I will remind you in a minute.').after(30).user('Go to the garage.').calls(
            'c2', NAV, place='garage').accepted('c2').says('I am on my way.').progress(
            'c2', 0.2, '6.0 m left')), (), r'oven', UNTRUE_ARRIVAL + '|' + promise, True, 24),
    ]
