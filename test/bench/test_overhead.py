"""`async-agent bench overhead` with real processes; no absolute times are asserted."""
import json
import os
import pathlib
import subprocess
import sys

from async_agent_ros import models
from async_agent_ros.bench import overhead
import pytest


def bench(tmp_path, *options):
    path = tmp_path / 'rows.json'
    env = {**os.environ, 'ROS_DOMAIN_ID': os.environ['ROS_DOMAIN_ID']}
    done = subprocess.run(
        [sys.executable, '-m', 'async_agent_ros.cli', 'bench', 'overhead', '--json', str(path),
         *options], capture_output=True, text=True, timeout=240, env=env,
        cwd=pathlib.Path(overhead.__file__).parents[2])
    assert done.returncode == 0, done.stderr + done.stdout
    machine, *rows = json.loads(path.read_text())
    assert machine['metric'] == 'machine' and machine['settings']['n'] == 10
    for row in rows:
        assert row['metric'] in done.stdout
    return rows


def latencies(rows, metric):
    found = [r for r in rows if r['metric'] == metric and r['mode'] == 'all']
    assert len(found) == 1 and found[0]['n'] == 10 and found[0]['unit'] == 'ms'
    assert 0.0 < found[0]['p50'] <= found[0]['p95'] <= found[0]['p99']


def test_the_path_of_text_and_calls_is_measured(tmp_path):
    rows = bench(tmp_path, '--n', '10', '--only', 'text,call')
    for metric in ('text_to_generate_ms', 'token_to_tts_ms', 'call_to_accepted_ms'):
        latencies(rows, metric)


@pytest.mark.skipif(
    not all(models.is_present(models.CATALOGUE[m]) for m in (overhead.VOICE, overhead.RECOGNISER)),
    reason='needs the packaged voice and recogniser: async-agent models get all')
def test_interruptions_and_idleness_are_measured(tmp_path):
    rows = bench(tmp_path, '--n', '10', '--only', 'interrupt,idle', '--idle-s', '2')
    latencies(rows, 'interrupt_to_cut_ms')
    nodes = ['asr', 'tts', 'dialog_manager', 'dispatcher', 'sim_robot', 'all']
    for mode in ('no sound', 'listening'):
        assert [r['workload'] for r in rows
                if r['metric'] == 'idle_cpu_percent' and r['mode'] == mode] == nodes
    memory = {r['workload']: r['value'] for r in rows if r['metric'] == 'idle_memory_mb'}
    assert list(memory) == nodes and all(value > 1.0 for value in memory.values())
