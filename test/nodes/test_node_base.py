"""What the nodes share."""
import gc
import time

from domains import reserve
import pytest
import rclpy
from rclpy.parameter import Parameter

from async_agent_ros.nodes.asr import AsrNode
from async_agent_ros.nodes.dialog_manager import DialogManager
from async_agent_ros.nodes.dispatcher import DispatcherNode
from async_agent_ros.nodes.tts import TtsNode
from async_agent_ros.tools import tool, ToolServer

WAIT_S = 15.0


@tool
def wave() -> str:
    """Wave."""
    return 'waved'


def _manager(tmp_path, **options):
    return DialogManager(parameter_overrides=[
        Parameter('ledger_dir', value=str(tmp_path))], **options)


def _server(tmp_path, **options):
    return ToolServer('server', [wave], **options)


def _managed(kind):
    return lambda tmp_path, **options: kind(**options)


@pytest.fixture
def domain():
    return reserve()


@pytest.fixture
def context(domain):
    context = rclpy.Context()
    context.init(domain_id=domain)
    yield context
    context.try_shutdown()


@pytest.fixture
def observer(domain):
    context = rclpy.Context()
    context.init(domain_id=domain)
    node = rclpy.create_node('observer', context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


@pytest.mark.parametrize('make', [
    _managed(DispatcherNode), _managed(AsrNode), _managed(TtsNode), _manager, _server],
    ids=['dispatcher', 'asr', 'tts', 'dialog_manager', 'tool_server'])
def test_a_node_that_is_destroyed_is_off_the_graph(make, observer, context, tmp_path):
    def seen():
        return [*(name for name in observer.get_node_names() if name != 'observer'),
                *(name for name, _ in observer.get_topic_names_and_types() if '/agent' in name)]
    gc.disable()    # it would clear up after the node, at some time
    try:
        node = make(tmp_path, namespace='/agent', context=context)
        _until(seen)
        node.destroy_node()
        _until(lambda: not seen())
    finally:
        gc.enable()


def _until(condition):
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.02)
