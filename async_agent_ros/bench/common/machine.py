"""Facts of the machine and the software, the first row of every result."""
from datetime import datetime, timezone
from importlib import metadata
import os
import platform
from typing import Any, Mapping

from async_agent_ros import __version__
from async_agent_ros.bench.common.rows import Row

DISTROS = ('humble', 'jazzy', 'kilted', 'lyrical')


def _first(path: str, key: str) -> str:
    """Return the first value of a key in a file of /proc, '' where there is none."""
    try:
        with open(path, encoding='utf-8') as file:
            for line in file:
                name, _, value = line.partition(':')
                if name.strip() == key:
                    return value.strip()
    except OSError:
        pass
    return ''


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ''


def ros_distro() -> str:
    """Return the name of the ROS distribution: of the sourced one, else of the wheels."""
    return os.environ.get('ROS_DISTRO') or next(
        (d for d in DISTROS if _installed(f'ros-{d}-rclpy')), 'unknown')


def middleware() -> str:
    """Return the RMW implementation in use, '' without rclpy."""
    try:
        import rclpy
        return rclpy.get_rmw_implementation_identifier()
    except Exception:    # no ROS at all, or no middleware: both are for `doctor` to say
        return ''


def machine_row(bench: str, settings: Mapping[str, Any], models: Mapping[str, str]) -> Row:
    """Return the row of facts; `settings` are the options of the bench, `models` by their role."""
    memory_kb = _first('/proc/meminfo', 'MemTotal').split()
    return {
        'bench': bench, 'metric': 'machine',
        'cpu': _first('/proc/cpuinfo', 'model name') or platform.processor() or 'unknown',
        'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity')
        else os.cpu_count(),
        'memory_gb': round(int(memory_kb[0]) / 1e6, 1) if memory_kb else None,
        'kernel': platform.release(), 'python': platform.python_version(),
        'ros_distro': ros_distro(), 'rmw': middleware(), 'version': __version__,
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'load_average': list(os.getloadavg()),
        'models': dict(models), 'settings': dict(settings)}
