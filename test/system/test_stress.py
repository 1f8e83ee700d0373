"""A thousand calls with delays, failures, cancels, dead servers and interruptions, over DDS."""
from collections import Counter
import json
import os
from pathlib import Path
import random
import subprocess
import sys

from live_agent import LiveAgent
from std_msgs.msg import String

from async_agent_ros.core.replay import first_difference, replay
from async_agent_ros.core.words import Kind
from async_agent_ros.msg import Interrupt
from async_agent_ros.nodes import journal

MOODY = Path(__file__).parents[1] / 'support' / 'moody_tools.py'
ROUNDS, CALLS = 20, 50


def script(tmp_path):
    rules = [{'user': f'^round {number}$', 'say': 'On it. \n' + '\n'.join(
        'CALL ' + json.dumps({'name': 'mood', 'arguments': {'number': number * CALLS + i}})
        for i in range(CALLS))} for number in range(ROUNDS)]
    rules += [{'user': '^enough', 'say': 'CALL {"name": "cancel", "arguments": {"call": "mood"}}'},
              {'notification': '.', 'say': ''}]
    path = tmp_path / 'script.json'
    path.write_text(json.dumps({'rules': rules, 'fallback': 'Hm.'}))
    return str(path)


def enough(entries):
    """Return whether calls succeeded and failed often enough to say that they were tried."""
    statuses = Counter(e.status for e in entries if e.kind == Kind.RESULT and e.name == 'mood')
    return statuses['succeeded'] > CALLS and statuses['failed'] > 10


def test_the_rules_hold_under_a_thousand_calls(tmp_path):
    dice = random.Random(7)
    more = {'dispatcher': {'script': script(tmp_path), 'max_tokens': 8192},
            'dialog_manager': {'kernel.max_chain': 100}}
    with LiveAgent(tmp_path, more=more, sim_robot=False) as live:
        environment = {**os.environ, 'ROS_DOMAIN_ID': str(live.domain)}

        def serve(seed):
            return subprocess.Popen([sys.executable, str(MOODY), str(seed)], env=environment)

        server = serve(0)
        try:
            live.wait_ready('mood')
            for number in range(ROUNDS):
                asked = live.say(f'round {number}')
                live.wait_entry('user', f'round {number}', after=asked, timeout_s=40.0)
                live.wait(f'the calls of round {number}', lambda: any(
                    e.kind == Kind.CALL and e.data['arguments'].get('number', -1)
                    == number * CALLS + CALLS - 1 for e in live.entries.values()), 40.0)
                event = dice.random()
                if event < 0.25:
                    live.interrupt_request.publish(Interrupt(action='stop', reason='stress'))
                elif event < 0.5:
                    live.text_in.publish(String(data='enough'))
                elif event < 0.65:
                    # A slow machine would kill it before it had done anything.
                    live.wait('moods before it dies', lambda: enough(live.entries.values()), 60.0)
                    server.kill()
                    server.wait()
                    # The next rounds may find no tool, a dead one, or the new one.
                    server = serve(number)
            live.wait('the end of every call', lambda: live.states[-1].calls == []
                      and live.state == 'idle', 90.0)
            live.supervisor.stop()
        finally:
            server.kill()
            server.wait()
        records = list(journal.read(journal.latest(live.ledger_dir)))
    ledger = [e for r in records for e in r.entries]
    calls = {e.call_id for e in ledger if e.kind == Kind.CALL and e.name == 'mood'}
    ends = Counter(e.call_id for e in ledger if e.kind == Kind.RESULT and e.name == 'mood')
    assert len(calls) == ROUNDS * CALLS
    assert set(ends) == calls and set(ends.values()) == {1}, 'exactly one end of every call'
    assert enough(ledger), 'some succeeded, some failed'
    assert [e.seq for e in ledger] == list(range(len(ledger)))
    begun = {e.call_id: e.seq for e in ledger if e.kind == Kind.COMMIT}
    for entry in ledger:
        if entry.name == 'accepted':
            assert begun[entry.call_id] < entry.seq, 'nothing runs before its entry stands'
    assert first_difference(ledger, list(replay(r.event for r in records))) is None
