"""What if: recorded tools and voice, and a whole conversation held again by a new agent."""
import json
import signal

import pytest

from async_agent_ros.core.tools import ToolSpec
from async_agent_ros.record.history import load
from async_agent_ros.record.recorded_tools import RecordedCalls, RecordedTool
from async_agent_ros.record.runs import RecordedCall
from async_agent_ros.record.whatif import choose, kernel_parameters
from async_agent_ros.tools.context import Progress, ToolCancelled, ToolContext, ToolError


def recorded(status='succeeded', **fields):
    return RecordedCall('c1', 'navigate_to', {'place': 'kitchen'}, 0, duration_s=0.01,
                        status=status, **fields)


def run(*calls, place='kitchen', prepare=lambda context: None):
    pool = RecordedCalls(calls)
    reports = []
    context = ToolContext(report=reports.append)
    prepare(context)
    tool = RecordedTool(ToolSpec('navigate_to'), pool).with_spec(action_name='/x')
    try:
        return tool.run(tool.parse(json.dumps({'place': place})), context), reports, pool
    except (ToolError, ToolCancelled) as error:
        return error, reports, pool


def test_a_recorded_call_ends_as_it_ended():
    value, reports, pool = run(recorded(result={'at': 'kitchen'}, progress=[(0.005, 0.5, '3 m')]))
    assert value == {'at': 'kitchen'} and reports == [Progress(0.5, '3 m')] and not pool.remarks
    error, _, _ = run(recorded('failed', error_msg='a door is shut'))
    assert isinstance(error, ToolError) and str(error) == 'a door is shut'


def test_the_same_arguments_come_first_then_the_next_of_that_name():
    garage = RecordedCall('c0', 'navigate_to', {'place': 'garage'}, 0, status='succeeded',
                          result='garage')
    value, _, pool = run(garage, recorded(result='kitchen'))
    assert value == 'kitchen'
    assert pool.take('navigate_to', {'place': 'bedroom'}).result == 'garage'
    assert 'was answered with the recorded result of navigate_to({"place":"garage"})' in (
        pool.remarks[0])
    with pytest.raises(ToolError, match='navigate_to was called 2 times there'):
        pool.take('navigate_to', {'place': 'kitchen'})
    with pytest.raises(ToolError, match='holds no result for this call: fly was called 0 times'):
        pool.take('fly', {})


def test_a_cancelled_call_can_be_cancelled_again_and_is_not_invented_otherwise(monkeypatch):
    monkeypatch.setattr('async_agent_ros.record.recorded_tools.CANCEL_GRACE_S', 0.01)
    error, _, _ = run(recorded('cancelled', error_msg='stopped', result={'place': 'hall'}),
                      prepare=lambda context: context.cancel())
    assert isinstance(error, ToolCancelled) and error.result == {'place': 'hall'}
    error, _, _ = run(recorded('cancelled'))
    assert isinstance(error, ToolError) and 'was cancelled after 0.0 s' in str(error)


def test_a_recording_without_words_is_refused(tmp_path, capsys):
    from kernel_world import World
    from recorded import write_journal
    path = write_journal(tmp_path / 'x.journal.jsonl', World())
    with pytest.raises(Exception, match='the person says nothing in it'):
        choose(path)


def test_the_recorded_settings_are_kept(journal_file):
    values = kernel_parameters(load(journal_file)[0])
    assert values['kernel.resume_after_s'] == 2.0
    assert 'stop' in values['kernel.stop_words']


def test_a_living_agent_never_hears_the_recorded_person():
    import rclpy
    from async_agent_ros.record.whatif import refuse_company, WhatIfError
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('dispatcher', namespace='/living/agent', context=context)
    try:
        with pytest.raises(WhatIfError, match='an agent runs in /living/agent.*dispatcher'):
            refuse_company('/living/agent')
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def test_a_new_agent_answers_the_recorded_person(tmp_path, journal_file, monkeypatch, capsys):
    """With the script in place of a model: drives to the kitchen, and finds its battery at 81."""
    from async_agent_ros import cli
    from async_agent_ros.demo import session
    from async_agent_ros.record import whatif
    monkeypatch.setattr(session, 'STEADY_S', 0.5)
    monkeypatch.setattr(whatif, 'SETTLE_S', 1.0)
    monkeypatch.setattr(whatif, 'DISCOVERY_S', 0.2)
    before = signal.getsignal(signal.SIGTERM)
    try:
        code = cli.main(['replay', 'what-if', str(journal_file), '--engine', 'scripted', '--json',
                         '-o', str(tmp_path / 'out')])
    finally:
        signal.signal(signal.SIGTERM, before)
    out, errors = capsys.readouterr()
    assert code == 0, errors
    value = json.loads(out)
    assert value == json.loads((tmp_path / 'out' / 'comparison.json').read_text())
    first, second = value['turns']
    assert first['person'] == 'drive to the kitchen' and first['same_calls']
    assert first['what_if']['calls'][0]['status'] == 'succeeded'
    assert 'I am on my way to the kitchen.' in first['what_if']['answer']
    assert 'I have arrived at the kitchen.' in first['what_if']['answer']
    assert not first['same_answer'], 'the recorded model used other words'
    assert second['same_answer'] and second['what_if']['answer'] == 'My battery is at 81 percent.'
    assert second['what_if']['calls'][0]['elapsed_s'] >= 0.05, 'the recorded duration'
    assert first['what_if']['latency_s'] > 0
    # The new run is itself a recording.
    [new] = load(tmp_path / 'out')
    assert len(new.events) > 10
