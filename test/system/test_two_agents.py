"""Two agents in two namespaces of one graph hold two conversations at once, and never mix."""
from concurrent.futures import ThreadPoolExecutor

from domains import reserve
from live_agent import LiveAgent
import pytest

from async_agent_ros.core.replay import first_difference, replay
from async_agent_ros.nodes import journal

SPEEDS = {'/kitchen_robot/agent': 1.2, '/garage_robot/agent': 1.0}
PLACES = {'/kitchen_robot/agent': 'kitchen', '/garage_robot/agent': 'garage'}


@pytest.fixture
def agents(tmp_path):
    """Yield two agents in one ROS domain."""
    domain = reserve()
    made = [LiveAgent(tmp_path / name.strip('/').split('/')[0], domain=domain, namespace=name,
                      more={'sim_robot': {'speed': SPEEDS[name]}}) for name in SPEEDS]
    with made[0], made[1]:
        for agent in made:
            agent.wait_ready(timeout_s=60.0)
        yield made


def talk(agent):
    """Drive, ask on the way, and be told of the arrival; return the entries by what they are."""
    place = PLACES[agent.namespace]
    asked = agent.say(f'drive to the {place}')
    call = agent.wait_entry('call', name='navigate_to', after=asked)
    agent.wait_entry('notification', 'accepted', call_id=call.call_id)
    question = agent.say('what is your battery')
    answer = agent.wait_entry('assistant', 'percent', after=question)
    assert not agent.find('result', name='navigate_to'), 'it answers while it drives'
    arrived = agent.wait_entry('result', name='navigate_to', after=answer.seq, timeout_s=60.0)
    told = agent.wait_entry('assistant', place, after=arrived.seq)
    return {'call': call, 'answer': answer, 'arrived': arrived, 'told': told}


def test_two_agents_hold_two_conversations_at_once(agents):
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(talk, agents))
    drives = [(d['call'].stamp_ns, d['arrived'].stamp_ns) for d in done]
    assert max(d[0] for d in drives) < min(d[1] for d in drives), 'both drove at once'
    for agent, spoken in zip(agents, done):
        own, other = PLACES[agent.namespace], next(
            p for n, p in PLACES.items() if n != agent.namespace)
        assert spoken['arrived'].status == 'succeeded' and own in spoken['arrived'].content
        said = [e.content for e in agent.entries.values()
                if e.kind in ('user', 'assistant', 'call', 'result')]
        assert any(own in text for text in said)
        assert not any(other in text for text in said), 'nothing of the other agent'
        servers = [e.content for e in agent.entries.values()
                   if e.kind == 'system' and '"server"' in e.content]
        foreign = next(n for n in SPEEDS if n != agent.namespace)
        assert not any(foreign in text for text in servers), 'no tools of the other robot'
        assert [m.session for m in agent.kernel_events][-1] == agent.session
    assert agents[0].session != agents[1].session
    check_that_a_stop_of_one_leaves_the_other_alone(*agents)


def check_that_a_stop_of_one_leaves_the_other_alone(first, second):
    """End both after it, and step both again."""
    calls = []
    for agent in (first, second):
        asked = agent.say('drive to the bedroom')
        calls.append(agent.wait_entry('call', name='navigate_to', after=asked))
        agent.wait_entry('notification', 'accepted', call_id=calls[-1].call_id)
    first.say('stop')
    result = first.wait_entry('result', call_id=calls[0].call_id)
    assert result.status == 'cancelled'
    assert not second.find('result', call_id=calls[1].call_id) and not second.interrupts
    for agent in (first, second):
        agent.supervisor.stop()
        records = list(journal.read(journal.latest(agent.ledger_dir)))
        recorded = [e for r in records for e in r.entries]
        assert first_difference(recorded, list(replay(r.event for r in records))) is None
