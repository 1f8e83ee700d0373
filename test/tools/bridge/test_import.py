"""`async-agent tools import` and `check`, with a robot that runs in another process."""
from concurrent.futures import ThreadPoolExecutor
import pathlib
import subprocess
import sys

import pytest
from tool_graph import process

from async_agent_ros.bringup import agent_nodes, BringupError, Settings
from async_agent_ros.tools.bridge.bridge import make_tool
from async_agent_ros.tools.bridge.config import load
from async_agent_ros.tools.bridge.importer import Found, write
from async_agent_ros.tools.bridge.values import Surroundings

HERE = pathlib.Path(__file__).parent
COMMAND = [sys.executable, '-m', 'async_agent_ros.cli', 'tools', '--wait', '15']


def run(*words):
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True,
                          timeout=60)


def run_all(*commands):
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda words: run(*words), commands))


def test_what_runs_becomes_a_file_that_works(tmp_path):
    path = tmp_path / 'robot.yaml'
    with process(HERE / 'foreign.py') as robot:
        assert 'ready' in robot.stdout.readline()
        some, nothing, done = run_all(
            ('import', '--match', 'light|odom'), ('--wait', '5', 'import', '--match', '/arm/'),
            ('import', '-o', path))
    assert done.returncode == 0, done.stderr
    again = run('import', '-o', path)
    entries = {e.name: e for e in load(path).entries}
    assert set(entries) == {'fibonacci', 'light', 'get_battery', 'get_odom', 'get_image',
                            'get_heard', 'publish_cmd_vel'}, "neither ROS's own nor the agent's"
    for entry in entries.values():
        make_tool(entry, Surroundings())
    assert entries['fibonacci'].effect == entries['light'].effect == 'state_changing'
    assert entries['get_odom'].effect == 'read_only'
    assert 'read_only if it changes nothing' in path.read_text()
    assert '- name: light' in some.stdout and 'fibonacci' not in some.stdout
    assert again.returncode == 1 and 'is there already' in again.stderr
    assert nothing.returncode == 1 and "has '/arm/' in its name" in nothing.stderr
    done = run('check', path)
    assert done.returncode == 0, done.stderr
    assert 'light: service /light, state_changing; data' in done.stdout


def test_check_tells_what_is_refused_and_what_works():
    done = run('check', HERE / 'robot.yaml')
    assert done.returncode == 1
    assert 'drive: topic /cmd_vel, state_changing; speed, yaw, duration_s' in done.stdout
    assert 'switch_light: service /light; its type is looked up when the agent runs' in done.stdout
    assert 'tool not_installed: type nav2_msgs/action/NavigateToPose: the package' in done.stderr
    assert 'Traceback' not in done.stderr
    done = run('check', HERE / 'none.yaml')
    assert done.returncode != 0 and 'cannot read' in done.stderr


def test_names_are_usable_and_unique(tmp_path):
    path = tmp_path / 'file.yaml'
    path.write_text(write([
        Found('service', '/arm/GoHome', 'std_srvs/srv/Trigger'),
        Found('service', '/arm_go_home', 'std_srvs/srv/Trigger'),
        Found('service', '/3d', 'std_srvs/srv/Trigger'),
        Found('action', '/other', 'nowhere_msgs/action/Other')]))
    assert [e.name for e in load(path).entries] == ['arm_go_home', 'arm_go_home_2', 'tool_3d',
                                                    'other']
    assert '# refused until it is installed' in path.read_text()
    path.write_text(write([]))
    assert load(path).entries == ()


def test_a_bridge_runs_where_a_file_is_named(tmp_path):
    assert 'bridge' not in [n.name for n in agent_nodes(Settings(nodes='text'))]
    node = agent_nodes(Settings(nodes='dispatcher', bridge_file=str(HERE / 'robot.yaml')))[-1]
    assert (node.executable, node.namespace) == ('bridge', '/agent')
    assert node.parameters == {'file': str(HERE / 'robot.yaml')}
    with pytest.raises(BringupError, match='tools import'):
        agent_nodes(Settings(bridge_file=str(tmp_path / 'none.yaml')))


@pytest.mark.parametrize('file, message', [
    ('', 'cannot start: the parameter file is empty: name a YAML file'),
    ('/nowhere/robot.yaml', 'cannot start: cannot read /nowhere/robot.yaml: No such file'),
])
def test_a_bridge_without_its_file_says_so(file, message):
    done = subprocess.run(
        [sys.executable, '-m', 'async_agent_ros.nodes.bridge', '--ros-args', '-p',
         f'file:="{file}"'], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and message in done.stderr
    assert 'Traceback' not in done.stderr
