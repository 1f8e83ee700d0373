"""The package as a whole: metadata, executables, interfaces as they are built, command line."""
import ast
import importlib
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree

from async_agent_ros import __version__, bringup, cli
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
INTERFACES = sorted(p for kind in ('msg', 'srv', 'action') for p in (ROOT / kind).glob('*.*'))


def _package_xml():
    return xml.etree.ElementTree.parse(ROOT / 'package.xml').getroot()


def _pyproject():
    try:
        import tomllib
    except ModuleNotFoundError:
        pytest.skip('needs tomllib (Python 3.11)')
    return tomllib.loads((ROOT / 'pyproject.toml').read_text())


def test_the_version_is_the_same_everywhere():
    assert _package_xml().findtext('version') == __version__
    assert _pyproject()['project']['version'] == __version__


def test_package_xml_is_complete_and_its_address_parses():
    # colcon takes the package for plain Python when the maintainer's address does not parse.
    root = _package_xml()
    assert root.get('format') == '3' and root.findtext('license') == 'Apache-2.0'
    assert re.fullmatch(r'[^@\s]+@[^@\s]+\.[a-z]+', root.find('maintainer').get('email'))
    assert root.findtext('member_of_group') == 'rosidl_interface_packages'
    assert not (ROOT / 'setup.cfg').exists(), 'colcon would take the package for plain Python'


def test_the_licence_is_apache():
    assert 'Apache License' in (ROOT / 'LICENSE').read_text()


@pytest.mark.parametrize('name', bringup.ALL_NODES)
def test_each_node_has_an_executable_and_a_main(name):
    script = ROOT / 'scripts' / name
    assert os.access(script, os.X_OK)
    assert f'from async_agent_ros.nodes.{name} import main' in script.read_text()
    tree = ast.parse((ROOT / 'async_agent_ros' / 'nodes' / f'{name}.py').read_text())
    assert any(isinstance(n, ast.FunctionDef) and n.name == 'main' for n in tree.body)


@pytest.mark.parametrize('path', INTERFACES, ids=lambda p: p.name)
def test_each_interface_is_built_as_it_is_written(path):
    """An installed type support that is older than its source gives wrong messages, silently."""
    module = importlib.import_module(f'async_agent_ros.{path.parent.name}')
    interface = getattr(module, path.stem)
    parts = {'msg': [interface],
             'srv': [getattr(interface, n, None) for n in ('Request', 'Response')],
             'action': [getattr(interface, n, None) for n in ('Goal', 'Result', 'Feedback')]}
    for text, part in zip(re.split(r'^---$', path.read_text(), flags=re.M),
                          parts[path.parent.name]):
        fields = re.findall(r'^[\w/]+(?:\[[^\]]*\])? +([a-z]\w*)(?:\s|$)', text, flags=re.M)
        assert list(part.get_fields_and_field_types()) == fields


@pytest.mark.parametrize('path', INTERFACES, ids=lambda p: p.name)
def test_each_field_is_commented(path):
    """At the end of its line, or in a comment above it or above the group it stands in."""
    commented = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.strip()
        if not line or line == '---':
            commented = False
        elif '#' in line:
            commented = True
        elif not re.match(r'[\w/]+ +[A-Z0-9_]+ *=', line):    # a constant says it by its name
            assert commented, f'{path.name}:{number}: {line}'


def test_requirements_are_pinned_and_agree():
    pins = {}
    for name in ('build', 'run', 'test', 'constraints'):
        for line in (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines():
            line = line.split('#')[0].strip()
            if line:
                match = re.fullmatch(r'([A-Za-z0-9._-]+)==([0-9][\w.!+]*)', line)
                assert match, f'{name}.txt: {line}'
                assert pins.setdefault(match[1].lower(), match[2]) == match[2], line


def test_every_dependency_is_explained():
    text = (ROOT / 'docs' / 'dependencies.md').read_text()
    project = _pyproject()['project']
    wanted = [*project['dependencies']]
    for extra in project['optional-dependencies'].values():
        wanted += extra
    names = {re.split(r'[<>=\[]', item)[0] for item in wanted} - {'async_agent_ros'}
    assert not sorted(name for name in names if f'`{name}`' not in text)


def test_help_is_fast_and_imports_nothing_heavy():
    program = ('import sys\nfrom async_agent_ros import cli\n'
               'try: cli.main(["--help"])\nexcept SystemExit: pass\n'
               'print(sorted({"rclpy", "torch", "numpy", "rich"} & set(sys.modules)))')
    start_s = time.monotonic()
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == '[]', done.stdout + done.stderr
    assert time.monotonic() - start_s < 30.0
    for name, line in cli.COMMANDS.items():
        assert f'{name}  ' in done.stdout and line in done.stdout


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_each_subcommand_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([name, '--help'])
    assert end.value.code == 0
    assert f'async-agent {name}' in capsys.readouterr().out


def test_a_missing_extra_is_one_clear_line():
    assert 'pip install "async_agent_ros[llama]"' in cli.missing_module_message('xllamacpp')
    assert 'setup.bash' in cli.missing_module_message('rclpy')
    assert 'pip install foo' in cli.missing_module_message('foo')


def test_an_error_of_the_package_is_one_line_and_exit_status_1(capsys):
    assert cli.main(['models', 'path', 'nothing']) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith('async-agent models: no model is named')
