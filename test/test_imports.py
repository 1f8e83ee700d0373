"""Imports point one way: nodes -> llm, speech, tools -> core; the core knows no ROS and no I/O."""
import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / 'async_agent_ros'
GENERATED = ('msg', 'srv', 'action')

# What the modules of a folder may import of this package, apart from their own folder.
ALLOWED = {
    'core': set(),
    'llm': {'core', 'models'},
    'speech': {'core', 'models'},
    'tools': {'core', *GENERATED, 'nodes.node_base', 'nodes.qos'},
    'models': {'model_catalogue'},
    'model_catalogue': set(),
    'bringup': set(),
    'supervisor': {'bringup'},
    'tuned_models': {'bringup', 'models'},
}
# A pure function of its arguments: no clock, no thread, no file, no environment, no chance.
NOT_IN_CORE = {
    'asyncio', 'concurrent', 'glob', 'io', 'multiprocessing', 'os', 'pathlib', 'queue', 'random',
    'rclpy', 'secrets', 'select', 'shutil', 'signal', 'socket', 'subprocess', 'sys', 'tempfile',
    'threading', 'time', 'torch', 'urllib', 'uuid', 'numpy',
}
ROS = {'rclpy', 'ament_index_python', 'launch', 'launch_ros'}
HEAVY = {'torch', 'transformers', 'faster_whisper', 'ctranslate2', 'piper', 'xllamacpp',
         'onnxruntime', 'sounddevice', 'hibari', 'rosbags', 'openai'}


def _modules():
    return sorted(p for p in PACKAGE.rglob('*.py')
                  if p.relative_to(PACKAGE).parts[0] not in GENERATED)


def _name(path):
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def _imports(path, *, top_level_only=False):
    """Yield (absolute module, line) of the imports of a file, also of those inside functions."""
    tree = ast.parse(path.read_text(), str(path))
    nodes = tree.body if top_level_only else ast.walk(tree)
    package = ['async_agent_ros', *path.relative_to(PACKAGE).parent.parts]
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else []
            module = '.'.join([*base, *([node.module] if node.module else [])])
            yield module, node.lineno
            if module.split('.')[0] == 'async_agent_ros':
                for alias in node.names:
                    yield f'{module}.{alias.name}', node.lineno


def _ids(path):
    return _name(path) or '__init__'


@pytest.mark.parametrize('path', _modules(), ids=_ids)
def test_imports_point_one_way(path):
    folder = _name(path).split('.')[0]
    if folder not in ALLOWED:
        return    # nodes, commands, bench, ... stand above and may use everything below
    known = {_name(p) for p in _modules()} | set(GENERATED)
    wrong = []
    for module, line in _imports(path):
        if not module.startswith('async_agent_ros.'):
            continue
        target = module[len('async_agent_ros.'):]
        if target not in known and target.split('.')[0] not in known:
            continue
        allowed = ALLOWED[folder] | {folder}
        if not any(target == a or target.startswith(a + '.') or a.startswith(target + '.')
                   for a in allowed):
            wrong.append(f'{path.name}:{line} imports {target}')
    assert not wrong


@pytest.mark.parametrize(
    'path', [p for p in _modules() if _name(p).split('.')[0] == 'core'], ids=_ids)
def test_the_core_is_pure(path):
    wrong = [f'{path.name}:{line} imports {module}' for module, line in _imports(path)
             if module.split('.')[0] in NOT_IN_CORE]
    assert not wrong


@pytest.mark.parametrize(
    'path', [p for p in _modules() if _name(p).split('.')[0] in ('llm', 'speech')], ids=_ids)
def test_speech_and_llm_are_plain_libraries(path):
    wrong = [f'{path.name}:{line} imports {module}' for module, line in _imports(path)
             if module.split('.')[0] in ROS or module.startswith('async_agent_ros.nodes')]
    assert not wrong


@pytest.mark.parametrize(
    'path', [p for p in _modules() if _name(p).split('.')[0] not in ('llm', 'speech', 'record')],
    ids=_ids)
def test_heavy_packages_are_imported_only_when_used(path):
    """So that a machine with only the messages, or only a tool server, needs none of them."""
    wrong = [f'{path.name}:{line} imports {module} at the top'
             for module, line in _imports(path, top_level_only=True)
             if module.split('.')[0] in HEAVY]
    assert not wrong


def test_the_sdk_imports_without_any_extra(tmp_path):
    """Import the messages and the tool SDK where every heavy package is out of reach."""
    import subprocess
    import sys
    program = (
        'import sys\n'
        f'for name in {sorted(HEAVY)!r}: sys.modules[name] = None\n'
        'import async_agent_ros.msg, async_agent_ros.srv, async_agent_ros.action\n'
        'import async_agent_ros.tools\n')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                          cwd=tmp_path)
    assert done.returncode == 0, done.stderr
