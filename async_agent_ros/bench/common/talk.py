"""A conversation as ledger entries, of about the length that a session reaches in some minutes."""
from dataclasses import replace
from typing import List

from async_agent_ros.core import built_in, events
from async_agent_ros.core.kernel import Kernel
from async_agent_ros.core.ledger import Entry
from async_agent_ros.core.settings import Settings

TURNS = 10


def conversation() -> List[Entry]:
    """Return TURNS turns about the robot of the examples, then a fork `i1` and a spawn `i2`."""
    from async_agent_ros.bench.situations import sim_tools
    kernel, clock_ns = Kernel(), 10**18
    specs = [replace(spec, action_name=f'/sim/{spec.name}') for spec in sim_tools()
             if spec.name not in built_in.TOOLS]

    def step(kind, **fields):
        nonlocal clock_ns
        clock_ns += 500_000_000
        if issubclass(kind, (events.TextGenerated, events.CallGenerated, events.GenerationEnded)):
            fields.update(generation_id=kernel.state.active or 0, epoch=kernel.state.epoch)
        kernel.step(kind(clock_ns, **fields))

    step(events.Started, session='talk', settings=Settings(result_group_s=0.0).to_json())
    step(events.ToolsAnnounced, server='/sim', tools=tuple(s.to_json() for s in specs))
    for number in range(TURNS):
        step(events.UserText, text=f'How full is your battery now, and where is cup {number}?')
        step(events.CallGenerated, name='get_battery', arguments={})
        step(events.GenerationEnded)
        step(events.CallEnded, call_id=next(iter(kernel.state.calls)),
             result={'percent': 90.0 - number, 'charging': False})
        step(events.TextGenerated, text=f'I have {90 - number} percent left, and I do not know '
             'where that cup is. ')
        step(events.GenerationEnded)
    step(events.UserText, text='Have somebody look for all the cups.')
    step(events.CallGenerated, name='fork', arguments={'task': 'Find all the cups.'})
    step(events.CallGenerated, name='spawn', arguments={'brief': 'Find all the cups.'})
    return list(kernel.state.ledger)
