"""Tool servers as the manager sees them: who is there, and whose name a tool has."""
from async_agent_ros.core import events
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.msg import ToolAnnouncement
from async_agent_ros.nodes.peers import ToolServers
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
