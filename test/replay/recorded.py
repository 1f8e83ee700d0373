"""Makes recordings out of a kernel on virtual time: what a real manager would have written."""
from kernel_world import World

from async_agent_ros.core import effects, events
from async_agent_ros.nodes import convert, journal, qos
from async_agent_ros.record.bag import BagWriter
from async_agent_ros.record.topics import bag_qos
from rclpy.serialization import serialize_message

SESSION = 's'


def conversation():
    """Return the world after a drive, a question on the way, and a stop."""
    w = World()
    w.say('drive to the kitchen')
    w.generation(events.FirstToken, after_ms=300)
    w.text('I am on my way. ')
    w.call('navigate_to', place='kitchen')
    w.finish(output_tokens=9)
    w.play_all()
    w.step(events.CallAccepted, call_id='c1')
    w.step(events.CallProgressed, after_ms=4000, call_id='c1', progress=0.5, text='3 m left')
    w.say('what is your battery')
    w.call('get_battery')
    w.finish()
    w.step(events.CallEnded, after_ms=50, call_id='c2', status='succeeded',
           result={'percent': 81})
    w.answer('My battery is at 81 percent. ')
    w.play_all()
    w.step(events.CallEnded, after_ms=500, call_id='c1', status='succeeded',
           result={'arrived_at': 'kitchen'})
    w.answer('I have arrived at the kitchen. ')
    w.play_all()
    w.step(events.Stopping)
    return w


def records(world):
    """Yield (index, event, entries) as the manager would have them."""
    for index, (event, out) in enumerate(zip(world.events, world.effects)):
        yield index, event, [e.entry for e in out if isinstance(e, effects.Append)]


def write_journal(path, world):
    """Write the journal and return its path."""
    file = journal.Journal(path, SESSION)
    for index, event, entries in records(world):
        file.write(index, event, entries)
    file.close()
    return path


def write_bag(path, world, *, change=lambda message: message, skip=lambda message: False):
    """Write kernel events and ledger; `change` and `skip` damage what is recorded."""
    bag = BagWriter(path)

    def put(topic, profile, stamp_ns, message):
        message = change(message)
        if not skip(message):
            kind = type(message).__name__
            bag.write(f'/agent/{topic}', f'async_agent_ros/msg/{kind}', [bag_qos(profile)],
                      stamp_ns, serialize_message(message))

    for index, event, entries in records(world):
        for entry in entries:
            put('ledger', qos.LEDGER, event.stamp_ns, convert.entry_to_msg(entry, SESSION))
        put('kernel_events', qos.RECORD, event.stamp_ns,
            convert.event_to_msg(event, SESSION, index, entries))
    bag.close()
    assert not bag.error
    return path
