"""What makes the packaged adapter again: its steps follow on each other (nothing is trained)."""
import re
import subprocess

from async_agent_ros import tuned_models
import pytest

SCRIPT = tuned_models._packaged_folder() / 'sim_robot-0.5b' / 'make.sh'
STAND_IN = r"""#!/usr/bin/env bash
# Does to files what `async-agent train` does, nothing else; a missing folder is an error.
set -euo pipefail
echo "$*" >> "$LOG"
case $2 in
    sft)
        for word in "$@"; do
            case $word in start=?*) test -f "${word#start=}/adapter_config.json" ;; esac
            [ "${before:-}" = --data ] && test -f "$word/card.json"
            [ "${before:-}" = --out ] && out=$word
            before=$word
        done
        mkdir -p "$out/adapter" "$out/checkpoint/adapter"
        touch "$out/adapter/adapter_config.json" "$out/checkpoint/adapter/adapter_config.json" ;;
    average)
        test -f "$3/adapter_config.json" && test -f "$4/adapter_config.json"
        mkdir -p "$6" && touch "$6/adapter_config.json" ;;
    export)
        test -f "$3/adapter_config.json" && touch "$7" ;;
esac
"""


def _git(*arguments):
    return subprocess.run(['git', '-C', str(SCRIPT.parent), *arguments], capture_output=True,
                          text=True)


@pytest.fixture
def text():
    if _git('rev-parse', '--show-toplevel').returncode:
        pytest.skip('this is no clone')
    return SCRIPT.read_text()


def test_each_step_finds_what_it_begins_with(text, tmp_path, monkeypatch):
    runs = [int(n) for n in re.findall(r'^train (\d+) ', text, re.M)]
    assert runs == list(range(1, len(runs) + 1))
    for run in runs:    # the data are there
        (tmp_path / 'out' / str(run) / 'data').mkdir(parents=True)
        (tmp_path / 'out' / str(run) / 'data' / 'card.json').touch()
    (tmp_path / 'bin').mkdir()
    command = tmp_path / 'bin' / 'async-agent'
    command.write_text(STAND_IN)
    command.chmod(0o755)
    monkeypatch.setenv('PATH', f'{command.parent}:/usr/local/bin:/usr/bin:/bin')
    monkeypatch.setenv('LOG', str(tmp_path / 'log'))
    done = subprocess.run([str(SCRIPT), str(tmp_path / 'out'), '1'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    trained = [line for line in (tmp_path / 'log').read_text().splitlines() if ' sft ' in line]
    assert len(trained) == len(runs) and all(' --until 1 ' in line for line in trained)
    assert (tmp_path / 'out' / 'adapter.gguf').is_file()


def test_the_commits_that_write_its_data_are_in_the_history(text):
    if _git('rev-parse', '--is-shallow-repository').stdout.strip() == 'true':
        pytest.skip('this clone has no history')
    commits = re.findall(r'^data \d+ (\w+) \w{64} ', text, re.M)
    assert len(commits) == len(re.findall('^train ', text, re.M))
    missing = [c for c in commits if _git('cat-file', '-e', f'{c}^{{commit}}').returncode]
    assert not missing
