"""Tool servers and nodes as the manager sees them: who is there, and whose name a tool has."""
from types import SimpleNamespace

from async_agent_ros.core import events
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.msg import ToolAnnouncement
from async_agent_ros.nodes import peers
from async_agent_ros.nodes.peers import PeerWatch, ToolServers, YOUNG_S
from async_agent_ros.tools.discovery import FOUND_WITHIN_S
from async_agent_ros.tools.msgs import spec_to_msg
from kernel_world import World
import pytest

OWNER, OTHER = '/agent/owner', '/agent/other'


def announcement(server, **fields):
    spec = ToolSpec('grasp', action_name=f'{server}/grasp')
    return ToolAnnouncement(server=server, incarnation=1, revision=1, lease_s=3.0,
                            tools=[spec_to_msg(spec)], **fields)


@pytest.fixture
def world():
    """Yield a kernel and its tool servers."""
    world = World()

    def post(event):
        values = event.to_json()
        values.pop('stamp_ns')
        world.step(type(event), **values)
    world.servers = ToolServers(post, lambda: 0, lambda text: None)
    return world


def test_a_name_that_was_taken_is_free_when_its_owner_has_left(world):
    for server in (OWNER, OTHER, OWNER, OTHER):
        world.servers.on_announcement(announcement(server))
    assert world.state.server_of['grasp'] == OWNER
    announced = [e for e in world.events if isinstance(e, events.ToolsAnnounced)]
    assert len(announced) == 3, 'signs of life are no news'
    world.servers.on_announcement(announcement(OWNER, stopping=True))
    assert 'grasp' not in world.state.catalogue
    world.servers.on_announcement(announcement(OTHER))    # its next sign of life
    assert world.state.server_of['grasp'] == OTHER
    assert world.state.catalogue['grasp'].action_name == f'{OTHER}/grasp'
    assert world.servers.alive == [OTHER]


def test_a_silent_server_is_lost_at_the_second_look_unless_it_was_only_unread(world, monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(peers.time, 'monotonic', lambda: now_s[0])
    for server in (OWNER, OTHER):
        world.servers.on_announcement(announcement(server))
    now_s[0] += 10.0    # the process stood still
    world.servers.check()
    assert world.servers.alive == [OTHER, OWNER]
    world.servers.on_announcement(announcement(OTHER))    # was waiting
    now_s[0] += 0.5
    world.servers.check()
    assert world.servers.alive == [OTHER]
    assert 'grasp' not in world.state.catalogue
    now_s[0] += 0.5
    world.servers.check()
    assert world.servers.alive == [OTHER]


def test_servers_of_an_earlier_life_have_time_to_be_found(world, monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(peers.time, 'monotonic', lambda: now_s[0])
    world.servers.expect([OWNER])
    now_s[0] += 2 * FOUND_WITHIN_S
    for _ in range(2):
        world.servers.check()
    assert world.servers.alive == [OWNER]


class Writers:
    """What the middleware says of the writers of a topic, and what a PeerWatch tells of them."""

    def __init__(self):
        self.now_s, self.told = 100.0, []
        self.alive = self.silent = 0
        self.watch = PeerWatch('dispatcher', lambda event: self.told.append(event.alive),
                               lambda: 0, steady=lambda: self.now_s)

    def change(self, alive, silent):
        self.alive, self.silent = self.alive + alive, self.silent + silent
        self.watch.on_change(SimpleNamespace(
            alive_count=self.alive, not_alive_count=self.silent,
            alive_count_change=alive, not_alive_count_change=silent))

    def after(self, seconds):
        self.now_s += seconds
        self.watch.check()


def test_a_peer_that_is_killed_is_told_at_once_and_its_successor_too():
    writers = Writers()
    writers.change(+1, 0)
    writers.after(YOUNG_S + 1.0)
    writers.change(-1, +1)
    assert writers.told == [True, False]
    writers.change(+1, 0)
    assert writers.told == [True, False, True]


def test_a_loss_is_told_also_when_the_successor_is_there_already():
    writers = Writers()
    writers.change(+1, 0)
    writers.after(1.0)
    writers.change(+1, 0)
    writers.change(-1, +1)
    assert writers.told == [True, False, True]
    # Both at once, seen as one change.
    writers.change(0, +1)
    assert writers.told == [True, False, True, False, True]


def test_the_silence_of_one_that_was_just_found_must_last():
    writers = Writers()
    writers.change(+1, 0)
    writers.after(2.0)
    writers.change(-1, +1)
    writers.change(+1, -1)
    writers.after(YOUNG_S + 1.0)
    assert writers.told == [True], 'signs of life got lost'
    writers.change(-1, +1)
    assert writers.told == [True, False]


def test_one_that_is_killed_right_after_its_start_is_told_later_or_with_its_successor():
    writers = Writers()
    writers.change(+1, 0)
    writers.after(2.0)
    writers.change(-1, +1)
    writers.after(1.0)
    assert writers.told == [True]
    writers.after(YOUNG_S)
    assert writers.told == [True, False]
    other = Writers()
    other.change(+1, 0)
    other.after(2.0)
    other.change(-1, +1)
    other.change(+1, 0)
    assert other.told == [True, False, True]


def test_a_peer_that_leaves_in_good_order_is_told_at_once():
    writers = Writers()
    writers.change(+1, 0)
    writers.change(-1, 0)
    assert writers.told == [True, False]
