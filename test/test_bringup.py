"""What nodes make up the agent, and the supervisor that runs them."""
import os
import pathlib
import queue
import signal
import sys
import textwrap
import time

from async_agent_ros import bringup
from async_agent_ros.bringup import agent_nodes, BringupError, NodeSpec, Settings
from async_agent_ros.supervisor import child_environment, describe_end, find_command
from async_agent_ros.supervisor import NEVER_RESTART, RestartPolicy, Supervisor, SupervisorError
import pytest
import yaml

DEADLINE_S = 20.0


def test_all_nodes_by_default():
    specs = agent_nodes()
    assert tuple(s.name for s in specs) == bringup.ALL_NODES
    assert {s.namespace for s in specs} == {'/agent'}
    assert all(pathlib.Path(s.params_file).name == 'params.yaml' for s in specs)


@pytest.mark.parametrize('nodes, sim_robot, expected', [
    ('text', True, ('dialog_manager', 'dispatcher', 'sim_robot')),
    ('text', False, ('dialog_manager', 'dispatcher')),
    ('tts, asr', True, ('asr', 'tts')),
])
def test_nodes_are_selected(nodes, sim_robot, expected):
    specs = agent_nodes(Settings(nodes=nodes, sim_robot=sim_robot))
    assert tuple(s.name for s in specs) == expected


@pytest.mark.parametrize('values, message', [
    ({'nodes': 'asr,ttss'}, "nodes is 'asr,ttss'.*dialog_manager"),
    ({'log_level': 'loud'}, "log_level is 'loud'.*debug"),
    ({'namespace': 'agent'}, "namespace is 'agent'.*begin with a slash"),
    ({'params_file': '/nowhere.yaml'}, "params_file is '/nowhere.yaml'.*no such file"),
    ({'use_sim_time': 'perhaps'}, "use_sim_time is 'perhaps'.*true or false"),
])
def test_a_wrong_setting_is_named(values, message):
    with pytest.raises(BringupError, match=message):
        agent_nodes(Settings.from_text(values))


def test_settings_come_from_the_texts_of_a_command_line():
    settings = Settings.from_text({a.name: a.default for a in bringup.ARGUMENTS})
    assert settings == Settings()
    assert Settings.from_text({'autostart': 'False'}).autostart is False


def _parameters(settings, node, **more):
    return next(s for s in agent_nodes(settings, more) if s.name == node).parameters


def test_audio_and_model_become_parameters_of_the_right_node():
    settings = Settings(audio_in='person.wav', audio_out='topic', model='m', engine='openai')
    asr = _parameters(settings, 'asr')
    assert asr['source'] == 'wav' and os.path.isabs(asr['wav_file'])
    assert _parameters(settings, 'tts')['sinks'] == ['topic']
    dispatcher = _parameters(settings, 'dispatcher')
    assert dispatcher['model'] == 'm' and dispatcher['engine'] == 'openai'
    assert 'device' not in dispatcher, 'what is not said is left to the parameter file'
    assert 'model' not in asr
    assert _parameters(settings, 'tts', tts={'sinks': ['wav']})['sinks'] == ['wav']


def test_ros_arguments_keep_types():
    spec = NodeSpec('asr', params_file='/p.yaml', remappings=(('a', 'b'),),
                    parameters={'text': '1', 'flag': True, 'names': ['x'], 'number': 0.5})
    words = spec.ros_arguments()
    values = dict(w.split(':=', 1) for before, w in zip(words, words[1:]) if before == '-p')
    assert {k: yaml.safe_load(v) for k, v in values.items()} == dict(spec.parameters)
    assert words[:3] == ['--ros-args', '-r', '__ns:=/agent']
    assert 'a:=b' in words and '__node:=asr' not in words
    assert '__node:=ears' in NodeSpec('asr', name='ears').ros_arguments()


def test_every_parameter_of_the_file_is_declared_by_its_node():
    source = pathlib.Path(bringup.__file__).parent
    declared = {}
    for name in bringup.ALL_NODES:
        module = source / 'nodes' / f'{name}.py'
        declared[name] = module.read_text() + ''.join(
            p.read_text() for p in (source / 'nodes').glob('*parameters.py'))
    declared['dialog_manager'] += (source / 'core' / 'settings.py').read_text()
    for key, content in yaml.safe_load(open(bringup.default_params_file())).items():
        node = key.rsplit('/', 1)[-1]
        assert node in bringup.ALL_NODES
        for name, value in content['ros__parameters'].items():
            for leaf in value if isinstance(value, dict) else [name]:
                assert f"'{leaf}'" in declared[node] or f'{leaf}:' in declared[node], (node, leaf)


# The supervisor runs any executable; these small ones take the place of nodes.
PROGRAM = """\
#!{python}
import os, signal, subprocess, sys, time
{body}
"""
BODIES = {
    'steady': 'print("up", flush=True); time.sleep(600)',
    'crash': 'print("up", flush=True); sys.exit(3)',
    'done': 'print("up", flush=True)',
    'stubborn': textwrap.dedent("""\
        for n in (signal.SIGINT, signal.SIGTERM):
            signal.signal(n, lambda n, _: print("ignores", n, flush=True))
        print("up", flush=True)
        while True: time.sleep(600)"""),
    'parent': textwrap.dedent("""\
        child = subprocess.Popen([sys.executable, "-c",
            "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"])
        print("child", child.pid, flush=True); time.sleep(600)"""),
}


@pytest.fixture
def world(tmp_path):
    """Return the environment that finds the small programs, a queue of output and of events."""
    folder = tmp_path / 'lib' / 'toys'
    folder.mkdir(parents=True)
    for name, body in BODIES.items():
        path = folder / name
        path.write_text(PROGRAM.format(python=sys.executable, body=body))
        path.chmod(0o755)
    return _World({'AMENT_PREFIX_PATH': str(tmp_path)})


class _World:

    def __init__(self, env):
        self.env, self.lines, self.events = env, queue.Queue(), queue.Queue()

    def supervisor(self, *names, **options):
        return Supervisor([NodeSpec(name, package='toys') for name in names], env=self.env,
                          output=lambda node, line: self.lines.put((node, line)),
                          on_event=self.events.put, **options)

    def line(self, text):
        return _wait_for(self.lines, lambda item: item[1].startswith(text))

    def event(self, kind):
        return _wait_for(self.events, lambda event: event.kind == kind)


def _wait_for(source, condition):
    end_s = time.monotonic() + DEADLINE_S
    while True:
        item = source.get(timeout=max(0.01, end_s - time.monotonic()))
        if condition(item):
            return item


def _gone(pid):
    try:
        with open(f'/proc/{pid}/stat') as stat:
            return stat.read().rsplit(')', 1)[1].split()[0] == 'Z'
    except OSError:
        return True


def test_nodes_start_and_end_without_a_trace(world):
    with world.supervisor('steady', 'parent') as supervisor:
        child = int(world.line('child')[1].split()[1])
        pids = supervisor.pids()
        assert set(pids) == {'steady', 'parent'}
    assert supervisor.pids() == {}
    for pid in pids.values():
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    end_s = time.monotonic() + DEADLINE_S
    while not _gone(child):    # it ignores SIGINT, and belongs to the node's group
        assert time.monotonic() < end_s, 'a process that a node started outlived it'
        time.sleep(0.01)


def test_a_killed_node_is_started_again(world):
    with world.supervisor('steady', restart=RestartPolicy(first_delay_s=0.01)) as supervisor:
        world.line('up')
        old = supervisor.kill('steady')
        assert supervisor.wait_for_new_pid('steady', old, DEADLINE_S) != old
        assert 'killed by SIGKILL' in world.event('restarting').text
        world.line('up')


def test_a_node_that_keeps_dying_is_given_up(world):
    policy = RestartPolicy(limit=2, first_delay_s=0.01)
    with world.supervisor('crash', restart=policy) as supervisor:
        assert supervisor.wait(DEADLINE_S)
        event = world.event('failed')
    assert event.returncode == 3 and 'died 3 times' in event.text
    assert world.lines.qsize() == 3


def test_a_node_that_ends_by_itself_stays_ended(world):
    with world.supervisor('done') as supervisor:
        assert supervisor.wait(DEADLINE_S)
        assert world.event('ended').returncode == 0


def test_one_node_is_stopped_and_started(world):
    with world.supervisor('steady', 'parent', restart=NEVER_RESTART) as supervisor:
        world.line('up')
        supervisor.stop_node('steady')
        assert supervisor.pid('steady') is None and supervisor.pid('parent')
        supervisor.start_node('steady')
        world.line('up')
        assert supervisor.pid('steady')


def test_a_stubborn_node_is_asked_twice_and_then_killed(world):
    with world.supervisor('stubborn') as supervisor:
        world.line('up')
        supervisor.stop(((signal.SIGINT, 0.3), (signal.SIGTERM, 0.3), (signal.SIGKILL, 5.0)))
        assert supervisor.pids() == {}
    assert world.line('ignores') == ('stubborn', 'ignores 2')
    assert world.line('ignores') == ('stubborn', 'ignores 15')


def test_a_missing_executable_is_named_before_anything_starts(world):
    supervisor = world.supervisor('steady', 'nothing')
    with pytest.raises(SupervisorError, match='toys has no executable nothing'):
        supervisor.start()
    assert supervisor.pids() == {}


def test_names_are_checked(world):
    with pytest.raises(SupervisorError, match='two nodes have the same name: steady'):
        world.supervisor('steady', 'steady')
    with pytest.raises(SupervisorError, match="no node is named 'x'.*steady"):
        world.supervisor('steady').kill('x')


def test_ends_are_described_in_words():
    assert describe_end(-11) == 'killed by SIGSEGV'
    assert describe_end(2) == 'exit status 2'


def test_every_node_of_the_agent_has_its_executable():
    for spec in agent_nodes():
        assert os.access(find_command(spec, child_environment())[0], os.X_OK)
