"""`async-agent bench tools`, small; no absolute times are asserted."""
import argparse

from async_agent_ros.bench import tools
from async_agent_ros.bench.common import rows
import pytest


def bench(*options):
    parser = argparse.ArgumentParser()
    tools.add_arguments(parser)
    return rows.checked(tools.run(parser.parse_args(options)))


def test_calls_side_by_side_and_the_turn_of_the_person_are_measured():
    found = bench('--only', 'parallel,person', '--calls', '1,20', '--call-s', '1', '--n', '5')
    ratios = {r['workload']: r['value'] for r in found if r['metric'] == 'parallel_time_ratio'}
    assert set(ratios) == {'n=1', 'n=20'} and ratios['n=1'] == 1.0
    assert ratios['n=20'] < 10.0, 'side by side, not one after the other'
    turns = {r['mode']: r for r in found if r['metric'] == 'person_turn_ms'}
    assert set(turns) == {'idle', 'loaded'} and all(r['n'] == 5 for r in turns.values())


def test_the_cost_of_an_event_is_measured(monkeypatch):
    monkeypatch.setattr(tools, 'SMALL', 100)
    monkeypatch.setattr(tools, 'LARGE', 3000)
    [ratio] = [r for r in bench('--only', 'ledger') if r['metric'] == 'event_cost_ratio']
    assert 0.0 < ratio['value'] < 10.0


def test_a_wrong_option_is_named():
    with pytest.raises(tools.ToolsError, match='nothing'):
        bench('--only', 'nothing')
