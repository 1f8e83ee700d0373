"""The mean of two adapters."""
from async_agent_ros.training.average import average, CONFIG, WEIGHTS
from async_agent_ros.training.sft import TrainingError
import pytest

torch = pytest.importorskip('torch')
safetensors = pytest.importorskip('safetensors.torch')


def adapter(folder, value, shape=(2, 3)):
    folder.mkdir()
    (folder / CONFIG).write_text('{"r": 2}')
    safetensors.save_file({'layer.lora_A': torch.full(shape, value)}, folder / WEIGHTS)
    return folder


def test_the_mean_lies_between(tmp_path):
    first, second = adapter(tmp_path / 'a', 1.0), adapter(tmp_path / 'b', 3.0)
    for weight, value in ((0.5, 2.0), (0.0, 1.0), (0.25, 1.5)):
        out = average(first, second, tmp_path / 'mean', weight)
        mean = safetensors.load_file(out / WEIGHTS)['layer.lora_A']
        assert mean.dtype == torch.float16 and (mean == value).all() and mean.shape == (2, 3)
    assert (out / CONFIG).read_text() == '{"r": 2}'


def test_adapters_that_do_not_fit_have_none(tmp_path):
    first, second = adapter(tmp_path / 'a', 1.0), adapter(tmp_path / 'b', 3.0, (4, 3))
    with pytest.raises(TrainingError, match='different models, layers or ranks'):
        average(first, second, tmp_path / 'mean')
