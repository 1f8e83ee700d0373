"""Writes the bridge's file for what runs on the ROS graph now."""
import json
import re
import time
from dataclasses import dataclass
from typing import Callable, List, Tuple

from async_agent_ros.core.tools import NAME_PATTERN
from async_agent_ros.tools.bridge import interfaces
from async_agent_ros.tools.bridge.bridge import types_on_graph
from async_agent_ros.tools.bridge.definitions import documentation
from async_agent_ros.tools.bridge.shapes import message_shape

_INTERNAL_TYPES = re.compile(
    r'(async_agent_ros|rcl_interfaces|type_description_interfaces|lifecycle_msgs|rosgraph_msgs'
    r'|service_msgs|tf2_msgs|bond)/')
"""Of parameters, logging, lifecycle, clock and transforms, and the agent's own."""

_INTERNAL_NAMES = re.compile(r'(/_|/rosout$|/parameter_events$|/transition_event$)')
QUIET_S = 1.0
"""The graph is known when nothing new has come for so long."""

HEAD = """\
# Tools of the agent, made from what ran on the ROS graph: see docs/bridge.md of async_agent_ros.
# Read it before you use it:
# - Delete what the agent shall not do. Each tool takes room in the prompt: keep it to about ten.
# - effect: state_changing is the careful default. Write read_only where a call changes nothing
#   in the world (it may then run early, and for nothing; wait_for_final: true where a guess from
#   half a sentence must not leave the robot), and confirm where it needs a person's yes.
# - motion: true for what moves the robot, so that "stop" stops it; resources: [base] for what
#   cannot run at once with others.
# - Write descriptions as you would explain the tool to a new colleague.
# Check it with: async-agent tools check FILE
"""


@dataclass(frozen=True)
class Found:
    """Something that runs and can be a tool."""

    kind: str
    graph_name: str
    type: str
    mode: str = ''


def settle(node, spin: Callable[[float], None], wait_s: float,
           found: Callable[[], bool] = lambda: True) -> None:
    """Spin until the graph is known and something is found, at most wait_s seconds."""
    end_s = time.monotonic() + wait_s
    seen, since_s = None, time.monotonic()
    while time.monotonic() < end_s:
        spin(0.1)
        now = (len(node.get_topic_names_and_types()), len(node.get_service_names_and_types()),
               len(node.get_node_names()))
        if now != seen:
            seen, since_s = now, time.monotonic()
        elif time.monotonic() - since_s > QUIET_S and now[2] > 1 and found():
            return


def look(node, *, agent: str = '/agent', match: str = '') -> List[Found]:
    """
    Return what runs now, without ROS's internals and the agent's own.

    :param agent: namespace of the agent; other agents are known by their topics.
    :param match: regular expression that names must contain.
    """
    agents = tuple({agent + '/'} | {
        name.rpartition('/')[0] + '/' for name, types in types_on_graph(node, 'topic').items()
        if name.count('/') > 1 and any(t.startswith('async_agent_ros/') for t in types)})
    found = []
    for kind in interfaces.KINDS:
        for name, types in sorted(types_on_graph(node, kind).items()):
            if _INTERNAL_NAMES.search(name) or name.startswith(agents) \
                    or not re.search(match, name):
                continue
            found += [item for each in types if not _INTERNAL_TYPES.match(each)
                      for item in _served(node, kind, name, each, agents)]
    return found


def _served(node, kind, name, each, agents):
    if kind == 'action':
        if node.get_publishers_info_by_topic(f'{name}/_action/status'):
            yield Found(kind, name, each)
    elif kind == 'service':
        if node.count_services(name):
            yield Found(kind, name, each)
    else:
        foreign = [info for info in node.get_publishers_info_by_topic(name)
                   if info.topic_type == each and not _of(agents, info)]
        if foreign:
            yield Found(kind, name, each, 'latest')
        elif not node.get_publishers_info_by_topic(name) and any(
                not _of(agents, info) for info in node.get_subscriptions_info_by_topic(name)):
            yield Found(kind, name, each, 'publish')


def _of(agents, info):
    return f'{info.node_namespace}/'.startswith(agents)


def write(found: List[Found]) -> str:
    """Return the text of the file."""
    names = set()
    lines = [HEAD + ('tools:\n' if found else 'tools: []')]
    for item in found:
        name = _name(item, names)
        names.add(name)
        description, about = _describe(item)
        lines.append(f'- name: {name}')
        lines.append(f'  description: {json.dumps(description, ensure_ascii=False)}')
        lines.append(f'  {item.kind}: {item.graph_name}')
        lines.append(f'  type: {item.type}')
        if item.mode:
            lines.append(f'  mode: {item.mode}')
        if item.mode == 'latest':
            lines.append('  effect: read_only')
        else:
            lines.append('  effect: state_changing    # read_only if it changes nothing')
        lines += [f'  # {line}' for line in about]
        lines.append('')
    return '\n'.join(lines)


def _name(item, taken):
    prefix = {'latest': 'get_', 'publish': 'publish_'}.get(item.mode, '')
    name = prefix + re.sub(r'[^a-z0-9]+', '_', _snake(item.graph_name)).strip('_')
    if not NAME_PATTERN.match(name):
        name = f'tool_{name}'.rstrip('_')
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f'{name}_{number}'
    return unique


def _snake(name):
    return re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '_', name).lower()


def _describe(item) -> Tuple[str, List[str]]:
    """Return a description, and lines about arguments or result."""
    short = item.type.split('/')[-1]
    verb = {'action': 'Run the action', 'service': 'Call the service',
            'latest': 'Get the latest message of', 'publish': 'Publish on'}[item.mode or item.kind]
    description = f'{verb} {item.graph_name} ({short}).'
    try:
        cls = interfaces.load(item.type, item.kind)
        asked = {'action': 'Goal', 'service': 'Request'}.get(item.kind)
        given = getattr(cls, asked) if asked else cls
        # what a message says of itself is true of every topic of its type
        about = documentation(given).message.split('. ')[0].strip(' .') if asked else ''
        if about and len(about) < 160:
            description = f'{description[:-1]}: {about}.'
        shape = message_shape(given, arguments=item.mode != 'latest')
    except interfaces.InterfaceError as error:
        return description, [f'refused until it is installed: {error}']
    fields = ', '.join(key for key, _ in shape.entries()) or 'none'
    return description, [f'{"result" if item.mode == "latest" else "arguments"}: {fields}']
