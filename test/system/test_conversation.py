"""A typed conversation with the simulated robot: all processes, over DDS, scripted engine."""
import signal

from live_agent import LiveAgent
import pytest

from async_agent_ros.action import Converse
from async_agent_ros.core.replay import first_difference, replay
from async_agent_ros.nodes import journal
from async_agent_ros.srv import GetLedger


@pytest.fixture
def agent(tmp_path):
    with LiveAgent(tmp_path) as live:
        live.wait_ready()
        yield live


def same_on_replay(live):
    """Check that the journal, stepped again, gives the recorded ledger."""
    path = journal.latest(live.ledger_dir)
    records = list(journal.read(path))
    recorded = [e for r in records for e in r.entries]
    replayed = replay(r.event for r in records)
    assert first_difference(recorded, list(replayed)) is None
    return recorded


def test_a_question_on_the_way_is_answered_at_once_and_the_arrival_is_told(agent):
    agent.say('drive to the bedroom')
    call = agent.wait_entry('call', name='navigate_to')
    agent.wait_entry('notification', 'accepted', call_id=call.call_id)
    asked = agent.say('what is your battery')
    battery = agent.wait_entry('result', name='get_battery', after=asked)
    told = agent.wait_entry('assistant', 'percent', after=battery.seq)
    assert not agent.find('result', name='navigate_to'), 'it answers while it drives'
    arrived = agent.wait_entry('result', name='navigate_to', after=told.seq, timeout_s=60.0)
    assert arrived.status == 'succeeded'
    agent.wait_entry('assistant', 'bedroom', after=arrived.seq)
    agent.supervisor.stop()
    recorded = same_on_replay(agent)
    seen = [agent.entries[s] for s in sorted(agent.entries)]
    assert [e.line() for e in recorded[:len(seen)]] == [e.line() for e in seen]


def test_stop_cancels_the_motion_and_the_robot_says_where_it_is(agent):
    agent.say('drive to the bedroom')
    call = agent.wait_entry('call', name='navigate_to')
    agent.wait_entry('notification', 'accepted', call_id=call.call_id)
    agent.say('stop')
    result = agent.wait_entry('result', call_id=call.call_id)
    assert result.status == 'cancelled'
    agent.wait('the interrupt', lambda: [i for i in agent.interrupts if i.scope == 'motion'])


def test_a_killed_manager_goes_on_where_it_stopped(agent):
    agent.say('drive to the bedroom')
    call = agent.wait_entry('call', name='navigate_to')
    agent.wait_entry('notification', 'accepted', call_id=call.call_id)
    published = dict(agent.entries)
    pid = agent.supervisor.kill('dialog_manager', signal.SIGKILL)
    agent.supervisor.wait_for_new_pid('dialog_manager', pid, timeout_s=10.0)
    restarted = agent.wait_entry('notification', 'restarted')
    assert restarted.seq > max(published), 'the same seq goes on'
    arrived = agent.wait_entry('result', call_id=call.call_id, timeout_s=60.0)
    assert arrived.status == 'succeeded', f'the call is found again: {arrived.content}'
    asked = agent.say('what is your battery')
    agent.wait_entry('assistant', 'percent', after=asked, timeout_s=30.0)
    agent.supervisor.stop()
    recorded = same_on_replay(agent)
    for seq, entry in published.items():
        assert recorded[seq] == entry, 'no published entry is lost'


def test_a_killed_robot_takes_its_tools_and_comes_back(agent):
    agent.say('drive to the bedroom')
    call = agent.wait_entry('call', name='navigate_to')
    agent.wait_entry('notification', 'accepted', call_id=call.call_id)
    pid = agent.supervisor.kill('sim_robot', signal.SIGKILL)
    lost = agent.wait_entry('result', call_id=call.call_id)
    assert lost.status == 'lost'
    agent.supervisor.wait_for_new_pid('sim_robot', pid, timeout_s=15.0)

    def told():
        """Ask until the robot is back: faster or slower than its lease, then it is announced."""
        if agent.state == 'idle' and not agent.find('assistant', 'percent', after=lost.seq):
            agent.say('what is your battery')
        return agent.find('assistant', 'percent', after=lost.seq)
    agent.wait('battery after the restart', told, timeout_s=60.0)


def test_a_killed_dispatcher_is_replaced_and_the_words_are_answered(agent):
    pid = agent.supervisor.kill('dispatcher', signal.SIGKILL)
    asked = agent.say('what is your battery')
    agent.supervisor.wait_for_new_pid('dispatcher', pid, timeout_s=15.0)
    agent.wait_entry('assistant', 'percent', after=asked, timeout_s=40.0)


def test_converse_follows_the_ledger_and_ends_with_the_reply(agent):
    assert agent.converse.wait_for_server(10.0)
    feedback = []
    goal = agent.converse.send_goal_async(
        Converse.Goal(text='what is your battery', wait_for_calls=True),
        feedback_callback=lambda m: feedback.append(m.feedback.entry))
    handle = agent.wait('goal', lambda: goal.done() and goal.result())
    assert handle.accepted
    future = handle.get_result_async()
    result = agent.wait('result', lambda: future.done() and future.result()).result
    assert result.error_code == Converse.Result.ERROR_NONE, result.error_msg
    assert 'percent' in result.reply
    kinds = [e.kind for e in feedback]
    assert kinds[0] == 'user' and 'result' in kinds
    assert [e.seq for e in feedback] == list(range(result.first_seq,
                                                   result.first_seq + len(feedback)))


def test_converse_refuses_an_empty_text(agent):
    assert agent.converse.wait_for_server(10.0)
    goal = agent.converse.send_goal_async(Converse.Goal(text='  '))
    handle = agent.wait('goal', lambda: goal.done() and goal.result())
    future = handle.get_result_async()
    result = agent.wait('result', lambda: future.done() and future.result()).result
    assert result.error_code == Converse.Result.ERROR_EMPTY_TEXT


def test_the_ledger_is_served_from_any_seq(agent):
    agent.say('hello')
    agent.wait_entry('assistant')
    response = agent.ask(agent.get_ledger, GetLedger.Request(from_seq=1))
    assert [e.seq for e in response.entries] == list(range(1, response.next_seq))
    response = agent.ask(agent.get_ledger, GetLedger.Request(from_seq=10_000))
    assert response.error_code == GetLedger.Response.ERROR_BEYOND_END
