"""`async-agent tools` against a running tool server."""
import signal
import subprocess
import sys
import time

import pytest

from async_agent_ros.commands.tools import parse_arguments, ToolsError
from tool_graph import process, wait_for
import tool_servers

COMMAND = [sys.executable, '-m', 'async_agent_ros.cli', 'tools']


@pytest.fixture(scope='module')
def server():
    with process(tool_servers.__file__, 'handy'):
        yield


def run(*words):
    return subprocess.run([*COMMAND, '--wait', '15', *words], capture_output=True, text=True,
                          timeout=40)


def test_words_become_arguments():
    assert parse_arguments(['a=1', 'b=two', 'c=[1, 2]', 'd=x=y']) == {
        'a': 1, 'b': 'two', 'c': [1, 2], 'd': 'x=y'}
    assert parse_arguments(['{"a": 1}']) == {'a': 1}
    assert parse_arguments([]) == {}
    with pytest.raises(ToolsError, match='key=value'):
        parse_arguments(['kitchen'])
    with pytest.raises(ToolsError, match='not JSON'):
        parse_arguments(['{"a"'])


def test_list_and_describe(server):
    done = run('list')
    assert 'echo' in done.stdout and 'read_only' in done.stdout and '/agent/handy' in done.stdout
    done = run('describe', 'work')
    assert '/agent/handy/work' in done.stdout and '"seconds"' in done.stdout
    assert 'waits until' not in done.stdout
    done = run('describe', 'search')
    assert 'waits until the person has finished' in done.stdout
    assert 'holds       line; when busy: queue' in done.stdout
    assert 'at most     30 a minute' in done.stdout


def test_call_by_hand(server):
    done = run('call', 'echo', 'text=ho', 'times=2')
    assert done.stdout.strip() == '"hoho"' and done.returncode == 0
    done = run('call', 'fail')
    assert 'the door is locked' in done.stderr and done.returncode == 1
    done = run('call', 'echo', 'times=2')
    assert "'text' is a required property" in done.stderr and done.returncode == 1
    done = run('call', 'ecko')
    assert "no tool 'ecko'; there are" in done.stderr and 'echo' in done.stderr


def test_ctrl_c_cancels_the_call(server):
    child = subprocess.Popen([*COMMAND, '--wait', '15', 'call', 'work', 'seconds=60'], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert 'working' in wait_for(child.stderr.readline, 20.0)
        child.send_signal(signal.SIGINT)
        started_s = time.monotonic()
        out, err = child.communicate(timeout=30.0)
        assert time.monotonic() - started_s < 20.0
        assert 'cancelled: cancelled on request, half done' in err
        assert out.strip() == '{"done":"half"}'
        assert child.returncode == 1
    finally:
        child.kill()
