"""CPU time and memory of sessions, as /proc tells them."""
import os
import subprocess
import sys
import time

from async_agent_ros.bench.common import processes
import pytest

pytestmark = pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='needs /proc')

CHILD_THAT_WORKS = (
    'import subprocess, sys, time\n'
    'p = subprocess.Popen([sys.executable, "-c", "import time\\n'
    'while time.process_time() < 0.3: pass\\nprint(1, flush=True)\\ntime.sleep(60)"],'
    ' stdout=subprocess.PIPE)\n'
    'p.stdout.readline(); print(1, flush=True); time.sleep(60)\n')


def test_a_session_counts_what_its_leader_started():
    leader = subprocess.Popen([sys.executable, '-c', CHILD_THAT_WORKS], start_new_session=True,
                              stdout=subprocess.PIPE)
    try:
        leader.stdout.readline()
        assert len(processes.session_pids(leader.pid)) == 2
        assert processes.session_cpu_s(leader.pid) >= 0.3 - processes.TOLERANCE_S
        assert processes.session_memory_mb(leader.pid) > 1.0
    finally:
        os.killpg(leader.pid, 9)
        leader.wait()
        leader.stdout.close()
    assert processes.cpu_s(leader.pid) == 0.0


def test_ones_own_work_is_no_noise():
    quiet = processes.Quiet([], others_percent=10_000.0)
    end_s = time.process_time() + 0.1
    while time.process_time() < end_s:
        pass
    assert quiet.was_quiet(), 'more than all cores cannot be used'
    assert processes.busy_s() > 0.0
