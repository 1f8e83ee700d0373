"""The tools that can be called: what servers announce, and what leaves with them."""
from async_agent_ros.core import built_in, calls
from async_agent_ros.core.state import KernelState
from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.core.words import Kind


def on_tools_announced(s: KernelState, event) -> None:
    """Take over a server's tools; refuse a name that another server has."""
    offered = {}
    for value in event.tools:
        try:
            spec = ToolSpec.from_json(value)
        except (KeyError, TypeError, ValueError) as error:
            refuse(s, event.server, f'a tool of {event.server} is unusable: {error}')
            continue
        owner = s.server_of.get(spec.name)
        if spec.name in built_in.TOOLS or (owner and owner != event.server):
            refuse(s, event.server, f'tool {spec.name!r} of {event.server} is refused: '
                   f'{owner or "the agent itself"} already has one of that name')
            continue
        offered[spec.name] = spec
    removed = sorted(n for n, o in s.server_of.items() if o == event.server and n not in offered)
    added = [spec for name, spec in offered.items() if s.catalogue.get(name) != spec]
    if added or removed:
        change(s, event.server, added, removed)


def refuse(s: KernelState, server: str, text: str) -> None:
    """Note a refusal once."""
    if text not in s.refusals:
        s.refusals.add(text)
        s.append(Kind.NOTIFICATION, {'text': text}, name='error')


def change(s: KernelState, server: str, added, removed) -> None:
    """Write the change and apply it."""
    s.append(Kind.SYSTEM, {'added': [spec.to_json() for spec in added], 'removed': list(removed),
                           'server': server}, name='tools')
    for name in removed:
        s.catalogue.pop(name, None)
        s.server_of.pop(name, None)
    for spec in added:
        s.catalogue[spec.name] = spec
        s.server_of[spec.name] = server


def on_tool_server_lost(s: KernelState, event) -> None:
    """Take a server's tools away; its running calls end as lost."""
    names = sorted(n for n, o in s.server_of.items() if o == event.server)
    if not names:
        s.ignore('loss of an unknown server', event.server)
        return
    change(s, event.server, [], names)
    how = 'stopped' if event.stopped else 'vanished'
    for call in list(s.calls.values()):
        if call.call_id in s.calls and call.executing and call.spec.name in names:
            calls.lose(s, call, f'its tool server {event.server} {how}; the effect is unknown')
