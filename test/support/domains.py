"""ROS domains that nobody else on this machine uses: each is held by a lock on a file."""
import fcntl
import os
import tempfile

_held = []


def reserve() -> int:
    """Return a free ROS_DOMAIN_ID (1 to 101); it is free again when this process has ended."""
    folder = os.path.join(tempfile.gettempdir(), 'async_agent_ros_domains')
    os.makedirs(folder, exist_ok=True)
    for domain in range(1, 102):
        file = open(os.path.join(folder, str(domain)), 'w')
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        _held.append(file)
        return domain
    raise RuntimeError(f'all 101 ROS domains are taken; see the locks in {folder}')
