"""`async-agent up` with a real node: it runs, is restarted when killed, and ends with Ctrl-C."""
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

DEADLINE_S = 90.0


@pytest.fixture
def up(tmp_path):
    """Run the command with the simulated robot alone; end it with SIGKILL if it does not end."""
    env = dict(os.environ, ROS_DOMAIN_ID=str(1 + os.getpid() % 100),
               ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST', PYTHONUNBUFFERED='1')
    process = subprocess.Popen(
        [sys.executable, '-m', 'async_agent_ros.cli', 'up', '--nodes', 'sim_robot',
         '--namespace', '/up_test', '--log-level', 'debug'],
        env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watchdog = threading.Timer(DEADLINE_S, process.kill)
    watchdog.start()
    yield process
    watchdog.cancel()
    process.kill()
    process.wait()
    process.stdout.close()


def _line(process, pattern):
    seen = []
    for line in process.stdout:
        seen.append(line)
        if match := re.search(pattern, line):
            return match
    raise AssertionError(f'{pattern!r} did not come in:\n{"".join(seen)}')


def test_a_real_node_is_restarted_and_ended(up):
    first = int(_line(up, r'^\[sim_robot\] -- started: pid (\d+)')[1])
    os.killpg(first, signal.SIGKILL)
    _line(up, r'^\[sim_robot\] -- restarting: killed by SIGKILL; starting it again in 0.5 s')
    second = int(_line(up, r'^\[sim_robot\] -- started: pid (\d+)')[1])
    assert second != first
    up.send_signal(signal.SIGINT)
    _line(up, 'ending the nodes')
    assert up.wait(DEADLINE_S) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def _runs(pid):
    try:
        with open(f'/proc/{pid}/stat') as stat:
            return stat.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


@pytest.mark.skipif(not shutil.which('setpriv'), reason='setpriv (util-linux) is not installed')
def test_nodes_do_not_outlive_a_killed_supervisor(up):
    pid = int(_line(up, r'started: pid (\d+)')[1])
    _line(up, r'\[DEBUG\]')    # from here on it is a ROS node
    up.kill()
    up.wait()
    end_s = time.monotonic() + DEADLINE_S
    while _runs(pid):
        if time.monotonic() > end_s:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError('the node outlived its supervisor')
        time.sleep(0.02)
