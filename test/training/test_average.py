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


def test_layers_that_only_the_second_adapts_count_by_its_weight(tmp_path):
    first, second = adapter(tmp_path / 'a', 1.0), adapter(tmp_path / 'b', 3.0)
    safetensors.save_file({
        'layer.lora_A': torch.full((2, 3), 3.0), 'lower.lora_A.weight': torch.full((2, 3), 5.0),
        'lower.lora_B.weight': torch.full((3, 2), 4.0)}, second / WEIGHTS)
    (second / CONFIG).write_text('{"r": 2, "layers_to_transform": [0, 1]}')
    out = average(first, second, tmp_path / 'mean', 0.25)
    mean = {k: float(v.max()) for k, v in safetensors.load_file(out / WEIGHTS).items()}
    assert mean == {'layer.lora_A': 1.5, 'lower.lora_A.weight': 5.0, 'lower.lora_B.weight': 1.0}
    assert 'layers_to_transform' in (out / CONFIG).read_text()
    with pytest.raises(TrainingError, match='different models, layers or ranks'):
        average(second, first, tmp_path / 'other')


def test_adapters_that_do_not_fit_have_none(tmp_path):
    first, second = adapter(tmp_path / 'a', 1.0), adapter(tmp_path / 'b', 3.0, (4, 3))
    with pytest.raises(TrainingError, match='different models, layers or ranks'):
        average(first, second, tmp_path / 'mean')
