"""Builds the ROS interfaces by driving this package's own CMakeLists.txt.

The CMake project is the one description of what to build. It is configured, built and installed
into a staging prefix, and the staged files are put into the wheel: the generated Python beside the
hand-written package, everything else (shared libraries, share/, ament index) as data files that pip
lays out under the environment's prefix, where the ROS wheels put theirs.
"""
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent
PKG = 'async_agent_ros'
GENERATED = ('msg', 'srv', 'action')


def ros_prefixes():
    """Prefixes that hold the ROS CMake packages: a sourced ROS, pip's build overlay, this venv."""
    found = [p for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    for module in ('rosidl_cmake', 'std_msgs'):
        spec = importlib.util.find_spec(module)
        if spec and spec.origin:
            # PREFIX/lib/python3.11/site-packages/MODULE/__init__.py
            found.append(str(Path(spec.origin).parents[4]))
    found.append(sys.prefix)
    return list(dict.fromkeys(p for p in found if (Path(p) / 'share' / 'ament_index').is_dir()))


class InterfacesDistribution(Distribution):
    def has_data(self):
        """editable_wheel asks for this name (not has_data_files) before it installs data files."""
        return self.has_data_files()


class BuildInterfaces(build_ext):
    def run(self):
        prefixes = ros_prefixes()
        if not prefixes:
            raise SystemExit('no ROS 2 CMake packages found; see [build-system] in pyproject.toml')
        # Not self.build_temp: that is a throwaway directory in an editable build.
        build = Path(os.environ.get('ASYNC_AGENT_BUILD_DIR')
                     or HERE / 'build' / f'cmake-{sys.implementation.cache_tag}')
        stage = build / 'stage'
        env = dict(os.environ,
                   AMENT_PREFIX_PATH=os.pathsep.join(prefixes),
                   CMAKE_PREFIX_PATH=os.pathsep.join(prefixes))
        cache = build / 'CMakeCache.txt'
        key = '\n'.join([sys.executable, *prefixes])
        stamp = build / 'prefixes.txt'
        if cache.exists() and (not stamp.exists() or stamp.read_text() != key):
            shutil.rmtree(build)    # cached package locations belong to another environment
        build.mkdir(parents=True, exist_ok=True)
        stamp.write_text(key)
        shutil.rmtree(stage, ignore_errors=True)
        cmake = shutil.which('cmake') or 'cmake'
        subprocess.check_call([
            cmake, '-G', 'Ninja', '-S', str(HERE), '-B', str(build),
            f'-DCMAKE_INSTALL_PREFIX={stage}',
            f'-DPython3_EXECUTABLE={sys.executable}',
            '-DPython3_FIND_VIRTUALENV=ONLY',
            '-DCMAKE_BUILD_TYPE=Release',
            '-DCMAKE_INSTALL_RPATH=$ORIGIN;$ORIGIN/../../..',
            '-DBUILD_TESTING=OFF',
            '-DAGENT_PYTHON_ONLY=ON',
        ], env=env)
        subprocess.check_call([cmake, '--build', str(build)], env=env)
        subprocess.check_call([cmake, '--install', str(build)], env=env, stdout=subprocess.DEVNULL)

        staged = next(stage.glob(f'lib/python3*/*-packages/{PKG}'))
        target = HERE / PKG if self.inplace else Path(self.build_lib) / PKG
        target.mkdir(parents=True, exist_ok=True)
        for name in GENERATED:
            shutil.rmtree(target / name, ignore_errors=True)
            shutil.copytree(staged / name, target / name,
                            ignore=shutil.ignore_patterns('__pycache__', '*.c'))
        for so in staged.glob('*.so'):
            shutil.copy2(so, target)

        self.distribution.data_files = (self.distribution.data_files or []) + sorted(
            self._data_files(stage).items())

    @staticmethod
    def _data_files(stage):
        files = {}
        for path in sorted(stage.rglob('*')):
            rel = path.relative_to(stage)
            top = rel.parts[0]
            if not path.is_file() or top not in ('lib', 'share'):
                continue
            if top == 'lib' and rel.parts[1].startswith('python'):
                continue
            # these name the build machine's prefixes, and serve only sourced workspaces
            if ('parent_prefix_path' in rel.parts or 'environment' in rel.parts
                    or path.name.startswith('local_setup.') or path.suffix == '.dsv'
                    or '__pycache__' in rel.parts):
                continue
            files.setdefault(str(rel.parent), []).append(str(path))
        return files

    # nothing here is an ordinary extension module
    def get_outputs(self):
        return []

    def get_output_mapping(self):
        return {}

    def copy_extensions_to_source(self):
        pass


setup(
    distclass=InterfacesDistribution,
    # an extension by name only: makes the wheel platform-specific and runs build_ext
    ext_modules=[Extension(f'{PKG}._interfaces', sources=[])],
    cmdclass={'build_ext': BuildInterfaces},
    data_files=[],
)
