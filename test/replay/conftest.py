"""A recorded conversation on virtual time, as journal and as bag."""
import os
import sys

# recorded.py lies beside; with pytest's import mode `importlib` nothing else finds it.
sys.path.insert(0, os.path.dirname(__file__))

from domains import reserve  # noqa: E402
import pytest  # noqa: E402
from recorded import conversation, write_bag, write_journal  # noqa: E402


@pytest.fixture(scope='module', autouse=True)
def empty_graph():
    """Agents of earlier tests may still be known in the domain of this process."""
    before = os.environ['ROS_DOMAIN_ID']
    os.environ['ROS_DOMAIN_ID'] = str(reserve())
    yield
    os.environ['ROS_DOMAIN_ID'] = before


@pytest.fixture(scope='session')
def world():
    return conversation()


@pytest.fixture
def journal_file(tmp_path, world):
    return write_journal(tmp_path / 'run' / 'journal' / 's.journal.jsonl', world)


@pytest.fixture
def bag(tmp_path, world):
    return write_bag(tmp_path / 'run' / 'bag', world)
