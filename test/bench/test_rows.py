"""Statistics, the form of rows, and how they are shown and written."""
import json
import math
import sys

from async_agent_ros.bench.common import machine, output, rows
from async_agent_ros.cli import main
import pytest


@pytest.mark.parametrize('percent, expected', [
    (0, 15), (5, 15), (30, 20), (40, 20), (50, 35), (100, 50)])
def test_percentiles_are_nearest_rank(percent, expected):
    assert rows.percentile([50, 15, 40, 20, 35], percent) == expected


def test_a_percentile_of_many_is_exact_and_always_a_measured_value():
    samples = list(range(1, 1001))
    assert [rows.percentile(samples, p) for p in (50, 95, 99)] == [500, 950, 990]
    assert rows.percentile([7.0], 99) == 7.0


@pytest.mark.parametrize('samples, percent', [([], 50), ([1.0], -1), ([1.0], 101),
                                              ([1.0], math.nan)])
def test_a_percentile_of_nothing_is_an_error(samples, percent):
    with pytest.raises(ValueError):
        rows.percentile(samples, percent)


def test_rows_carry_what_every_reader_needs():
    row = rows.distribution('b', 'x_ms', 'w', 'all', 'ms', [3.0, 1.0, 2.0], extra=1)
    assert row == {'bench': 'b', 'metric': 'x_ms', 'workload': 'w', 'mode': 'all', 'unit': 'ms',
                   'n': 3, 'p50': 2.0, 'p95': 3.0, 'p99': 3.0, 'extra': 1}
    assert rows.single('b', 'x_mb', 'w', '', 'MB', 1, 12.34567)['value'] == 12.35
    assert rows.checked([row]) == [row]


def test_shares_of_few_events_are_not_reported():
    few = rows.single('b', 'right_percent', 'w', '', '%', 9, 77.8)
    enough = rows.single('b', 'right_percent', 'w', '', '%', 10, 80.0)
    cpu = rows.single('b', 'idle_cpu_percent', 'asr', '', '%', 5, 0.4)
    assert rows.checked([few, enough, cpu]) == [enough, cpu]


@pytest.mark.parametrize('row, missing', [
    ({'bench': 'b', 'metric': 'x', 'workload': 'w', 'mode': '', 'unit': 's', 'value': 1},
     'lacks n'),
    ({'bench': 'b', 'metric': 'x', 'workload': 'w', 'mode': '', 'unit': 's', 'n': 1}, 'value')])
def test_a_row_of_the_wrong_form_is_named(row, missing):
    with pytest.raises(rows.RowError, match=missing):
        rows.checked([row])


def test_the_table_shows_every_figure_with_and_without_rich(capsys, monkeypatch):
    facts = machine.machine_row('b', {'n': 3}, {'voice': 'v'})
    measured = [rows.distribution('b', 'long_metric_name_ms', 'w' * 30, 'all', 'ms', [1.25] * 10),
                rows.single('b', 'x_percent', 'w', '', '%', 10, 12.5)]
    output.show(facts, measured)
    shown = capsys.readouterr().out
    monkeypatch.setitem(sys.modules, 'rich.console', None)
    output.show(facts, measured)
    plain = capsys.readouterr().out
    for text in (shown, plain):
        assert {'long_metric_name_ms', 'w' * 30, '1.25', '12.5', 'p99'} <= set(text.split())
        assert facts['cpu'] in text and facts['kernel'] in text


def test_the_file_holds_the_machine_first(tmp_path):
    facts = machine.machine_row('b', {'n': 3}, {'voice': 'v'})
    row = rows.single('b', 'x_mb', 'w', '', 'MB', 1, 2.0)
    output.write_json(tmp_path / 'rows.json', facts, [row])
    first, *rest = json.loads((tmp_path / 'rows.json').read_text())
    assert rest == [row]
    assert {'cpu', 'cores', 'memory_gb', 'kernel', 'python', 'ros_distro', 'rmw', 'version',
            'date', 'models', 'settings'} <= set(first)
    assert first['settings'] == {'n': 3} and first['models'] == {'voice': 'v'}
    with pytest.raises(output.OutputError, match='--json'):
        output.write_json(tmp_path, facts, [row])


def test_the_benches_are_listed(capsys):
    assert main(['bench']) == 0
    shown = capsys.readouterr().out
    assert 'overhead' in shown and 'situations' in shown and 'common' not in shown


@pytest.mark.parametrize('options, said', [
    (['--only', 'text,noise'], 'text, call, interrupt, idle'), (['--n', '0'], 'above zero'),
    (['--json', '/nowhere/at/all.json'], 'is no folder')])
def test_wrong_options_are_named(options, said, capsys):
    assert main(['bench', 'overhead', *options]) == 1
    assert said in capsys.readouterr().err
