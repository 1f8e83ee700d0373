"""The recorder keeps up: five thousand messages a second, split by size, and none is lost."""
from async_agent_ros.record.measure import measure


def test_nothing_is_lost_at_five_thousand_messages_a_second(tmp_path):
    result = measure(5000.0, 2.0, tmp_path / 'bag', ['--max-bag-size', '3000000'])
    assert result['sent'] == result['recorded'] == 10_000, result
    assert result['in_order'] and result['recorder_exit'] == 0
    assert result['files'] >= 3
