"""The simulated world: a pure model."""
import copy
import math
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import yaml

from async_agent_ros.tools.context import ToolCancelled, ToolContext, ToolError
from async_agent_ros.tools.sim.map import load_map, MapError, parse_map
from async_agent_ros.tools.sim.simulation import Simulation
from async_agent_ros.tools.sim.tools import build_tools
from async_agent_ros.tools.sim.world import DOCKING_S, End, Refused, World

MAP_FILE = Path(__file__).parents[2] / 'config' / 'sim_map.yaml'


@pytest.fixture
def world():
    return World(load_map(MAP_FILE))


def test_a_drive_takes_its_time(world):
    motion = world.drive('kitchen')
    seconds = motion.total_m / world.speed_m_s
    assert 6.0 < motion.total_m < 7.0
    world.advance(seconds / 2)
    assert world.moving and motion.left_m == pytest.approx(motion.total_m / 2)
    assert world.at is None and world.where() == 'between the kitchen door and the kitchen'
    world.advance(seconds + 1.0)
    assert motion.ended is End.ARRIVED and world.at == 'kitchen'
    assert motion.ended_s == pytest.approx(seconds)
    assert world.battery_percent < 82.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.001, 3.0), min_size=1, max_size=60))
def test_the_steps_of_time_make_no_difference(steps):
    once, often = (World(load_map(MAP_FILE)) for _ in range(2))
    once.drive('garage')
    often.drive('garage')
    for step in steps:
        often.advance(often.now_s + step)
    once.advance(often.now_s)
    assert math.dist(once.position, often.position) < 1e-6
    assert once.battery_percent == pytest.approx(often.battery_percent)
    assert once.where() == often.where()


def test_a_stop_leaves_the_robot_where_it_is_and_it_can_go_on(world):
    motion = world.drive('kitchen')
    world.advance(2.0)
    world.stop(motion, 'enough')
    position = world.position
    world.advance(10.0)
    assert motion.ended is End.CANCELLED and world.position == position
    back = world.drive('hallway')
    assert back.total_m == pytest.approx(1.6)
    world.advance(20.0)
    assert back.ended is End.ARRIVED and world.at == 'hallway'


def test_a_new_goal_replaces_a_running_one(world):
    first = world.drive('kitchen')
    world.advance(1.0)
    second = world.drive('garage')
    assert first.ended is End.REPLACED and 'pre-empted by a new goal' in first.reason
    world.stop(first)    # too late, and must not stop the second
    assert second.ended is None and world.moving
    world.advance(60.0)
    assert second.ended is End.ARRIVED


def test_blocked_doors_are_avoided_or_named(world):
    world.blocked = {'kitchen door'}
    assert 'terrace door' in world.drive('kitchen').way
    world.blocked = {'kitchen door', 'terrace door'}
    with pytest.raises(Refused, match='no free way to the kitchen; blocked: kitchen door'):
        world.drive('kitchen')
    motion = world.drive('bedroom')
    world.blocked = {'bedroom door'}
    world.advance(world.now_s + 1.0)
    assert motion.ended is End.BLOCKED and 'bedroom door' in motion.reason


def test_already_there(world):
    motion = world.drive('hallway')
    world.advance(0.01)
    assert motion.ended is End.ARRIVED and motion.total_m == 0.0


def test_battery(world):
    world.battery_percent = 3.0
    with pytest.raises(Refused, match='too low to drive: 3 percent'):
        world.drive('kitchen')
    motion = world.drive('hallway', 'dock', dock=True)
    world.advance(DOCKING_S)
    assert motion.ended is End.ARRIVED and world.docked
    world.advance(DOCKING_S + 1000.0)
    assert world.battery_percent == 100.0
    world.battery_percent = 6.0
    world.drive('garage')
    world.battery_percent = 0.1
    world.advance(world.now_s + 60.0)
    assert world.motion is None and world.battery_percent == 0.0


def test_arm(world):
    with pytest.raises(Refused, match='no cup in the hallway; I see nothing'):
        world.start_arm('pick_up', 'cup')
    with pytest.raises(Refused, match='I know no place called moon; I know hallway, kitchen'):
        world.drive('moon')
    world.drive('kitchen')
    with pytest.raises(Refused, match='driving to the kitchen'):
        world.start_arm('pick_up', 'cup')
    world.advance(30.0)
    with pytest.raises(Refused, match='gripper is empty'):
        world.start_arm('place', 'cup', 'table')
    job = world.start_arm('pick_up', 'cup')
    with pytest.raises(Refused, match='busy with pick_up of the cup'):
        world.start_arm('pick_up', 'apple')
    with pytest.raises(Refused, match='arm is working: pick_up'):
        world.drive('garage')
    world.finish_arm(job)
    assert world.held == 'cup' and 'cup' not in world.seen()
    with pytest.raises(Refused, match='already holds the cup'):
        world.start_arm('pick_up', 'apple')
    with pytest.raises(Refused, match='no sofa in the kitchen; I can place it on table'):
        world.start_arm('place', 'cup', 'sofa')
    with pytest.raises(Refused, match='holds the cup, not the apple'):
        world.start_arm('place', 'apple', 'table')
    world.finish_arm(world.start_arm('place', 'cup', 'floor'))
    assert world.held is None and world.seen()['cup'] == 'floor'
    world.arm_fails = True
    job = world.start_arm('pick_up', 'cup')
    with pytest.raises(Refused, match='slipped'):
        world.finish_arm(job)
    assert world.arm is None and world.held is None


@pytest.mark.parametrize('change, words', [
    (lambda m: m.update(romos={}), "the map has the unknown key 'romos'"),
    (lambda m: m.update(rooms={}), 'rooms is empty'),
    (lambda m: m['rooms']['kitchen'].update(position=[1]), 'rooms.kitchen.position'),
    (lambda m: m['doors']['kitchen door'].update(between=['kitchen', 'attic']), "'attic'"),
    (lambda m: m['doors']['kitchen door'].update(between='kitchen'), 'must be two rooms'),
    (lambda m: m['objects']['cup'].update(room='attic'), 'objects.cup.room'),
    (lambda m: m['objects']['cup'].update(surface='sofa'), 'objects.cup.surface'),
    (lambda m: m['objects']['cup'].update({True: 'table'}), 'unknown key True; keys are room'),
    (lambda m: m['robot'].update(battery_percent=150), '150'),
    (lambda m: m.update(dock='attic'), 'dock'),
])
def test_a_wrong_map_is_answered_by_name(change, words):
    data = copy.deepcopy(yaml.safe_load(MAP_FILE.read_text()))
    change(data)
    with pytest.raises(MapError, match=words):
        parse_map(data)


def test_a_map_that_is_not_yaml(tmp_path):
    file = tmp_path / 'map.yaml'
    file.write_text('rooms: [')
    with pytest.raises(MapError, match='map.yaml is not YAML'):
        load_map(file)
    file.write_text('')
    with pytest.raises(MapError, match='must be a mapping'):
        load_map(file)


class JumpingClock:
    """A clock whose time passes only while somebody waits, to the end of the wait."""

    simulated = False

    def __init__(self):
        self.time_s = 1000.0

    def now_s(self):
        return self.time_s


class JumpingContext(ToolContext):
    """Lets waits pass at once; `cancel_at_s` cancels at that time."""

    def __init__(self, clock, cancel_at_s=math.inf):
        super().__init__(report=lambda progress: self.reports.append(progress.text), clock=clock)
        self.reports = []
        self.cancel_at_s = cancel_at_s

    def wait(self, seconds):
        self.clock.time_s += seconds
        if self.clock.time_s >= self.cancel_at_s:
            self.cancel('cancelled on request')
        self.check_cancelled()


@pytest.fixture
def robot():
    """Return a function that runs a tool of a fresh robot on jumping time."""
    clock = JumpingClock()
    simulation = Simulation(World(load_map(MAP_FILE)), clock)
    tools = {t.spec.name: t for t in build_tools(simulation)}

    def run(name, cancel_after_s=math.inf, **arguments):
        context = JumpingContext(clock, clock.time_s + cancel_after_s)
        tool = tools[name]
        run.reports = context.reports
        return tool.run(tool.parse(arguments), context)
    run.tools = tools
    run.simulation = simulation
    run.clock = clock
    return run


def test_the_tools_as_the_agent_sees_them(robot):
    specs = {name: tool.spec for name, tool in robot.tools.items()}
    assert set(specs) == {'navigate_to', 'pick_up', 'place', 'look_around', 'get_battery',
                          'get_pose', 'find_object', 'dock'}
    for name in ('navigate_to', 'dock'):
        spec = specs[name]
        assert spec.effect == 'state_changing' and spec.motion and spec.resources == ('base',)
    for name in ('pick_up', 'place'):
        assert specs[name].effect == 'state_changing' and specs[name].resources == ('arm',)
    for name in ('look_around', 'get_battery', 'get_pose', 'find_object'):
        assert specs[name].effect == 'read_only' and not specs[name].motion
    assert all(1 <= len(spec.examples) <= 2 for spec in specs.values())
    assert 'garage' in specs['navigate_to'].arguments_schema['properties']['place']['enum']


def test_simulated_time_that_is_told_late_moves_nothing():
    clock = JumpingClock()
    clock.time_s = 0.0
    simulation = Simulation(World(load_map(MAP_FILE)), clock)
    with simulation.world() as world:
        motion = world.drive('kitchen')
    clock.time_s = 5000.0
    with simulation.world() as world:
        assert world.moving and motion.driven_m == 0.0
    clock.time_s = 5001.0
    with simulation.world():
        assert motion.driven_m == pytest.approx(0.8)


def test_fetching_a_cup(robot):
    before_s = robot.clock.time_s
    arrival = robot('navigate_to', place='kitchen')
    assert arrival['arrived_at'] == 'kitchen' and arrival['distance_m'] == 6.3
    assert arrival['duration_s'] == pytest.approx(robot.clock.time_s - before_s, abs=0.1)
    assert robot.reports[0] == '6.3 m left' and len(robot.reports) > 10
    assert robot('look_around') == {'place': 'kitchen',
                                    'objects': {'cup': 'table', 'apple': 'counter'}}
    assert robot('pick_up', object='cup') == {'holding': 'cup'}
    assert robot('find_object', object='cup')['on'] == 'gripper'
    robot('navigate_to', place='living room')
    assert robot('place', object='cup', where='sofa') == {'placed': 'cup', 'on': 'sofa'}
    assert robot('find_object', object='cup') == {
        'object': 'cup', 'place': 'living room', 'on': 'sofa'}
    assert robot('get_pose')['place'] == 'living room'
    docked = robot('dock')
    assert docked['docked_in'] == 'hallway' and robot('get_battery')['charging']


def test_failures_and_cancels_say_what_happened(robot):
    with pytest.raises(ToolError, match='there is no cup in the hallway'):
        robot('pick_up', object='cup')
    with pytest.raises(ToolCancelled, match='stopped between') as caught:
        robot('navigate_to', cancel_after_s=2.0, place='kitchen')
    assert caught.value.result['distance_m'] == pytest.approx(1.6, abs=0.5)
    with robot.simulation.world() as world:
        world.blocked = set(world.map.doors)
    with pytest.raises(ToolError, match='no free way'):
        robot('navigate_to', place='garage')


def test_a_cancelled_grip_leaves_the_object(robot):
    robot('navigate_to', place='kitchen')
    with pytest.raises(ToolCancelled, match='the arm stopped') as caught:
        robot('pick_up', cancel_after_s=1.0, object='cup')
    assert caught.value.result == {'holding': None}
    assert 'cup' in robot('look_around')['objects']
