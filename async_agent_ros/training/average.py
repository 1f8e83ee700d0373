"""
The mean of two adapters: between one that was trained on and what it was trained on from.

Where both lie in one valley, the mean keeps what the first could and takes what the second learned
(Wortsman et al., arXiv 2109.01903). Both must have been trained from the same beginning.
"""
import pathlib
import shutil
from typing import Any, Mapping

from async_agent_ros.training.sft import module, TrainingError

CONFIG, WEIGHTS = 'adapter_config.json', 'adapter_model.safetensors'


def average(first: pathlib.Path, second: pathlib.Path, out: pathlib.Path,
            weight: float = 0.5) -> pathlib.Path:
    """
    Write (1 - weight) * first + weight * second, in half precision; return the folder.

    The folders hold adapters of peft. In layers that only the second one adapts, `weight` of its
    change is kept. Raises TrainingError when the two do not fit.
    """
    if not 0.0 <= weight <= 1.0:
        raise TrainingError(f'weight is {weight}: it must be between 0 and 1')
    load = module('safetensors.torch').load_file
    for folder in (first, second):
        if not (folder / WEIGHTS).is_file():
            raise TrainingError(f'{folder} holds no adapter; train one with: async-agent train sft')
    a, b = load(first / WEIGHTS), load(second / WEIGHTS)
    if any(k not in b or v.shape != b[k].shape for k, v in a.items()):
        raise TrainingError(f'{first} and {second} are adapters of different models, layers or '
                            'ranks: they have no mean')
    out.mkdir(parents=True, exist_ok=True)
    mean = {k: ((1.0 - weight) * _before(k, a, b[k]) + weight * b[k].float()).half() for k in b}
    module('safetensors.torch').save_file(mean, out / WEIGHTS, metadata={'format': 'pt'})
    if second.resolve() != out.resolve():
        shutil.copyfile(second / CONFIG, out / CONFIG)
    return out


def _before(name: str, first: Mapping[str, Any], second: Any) -> Any:
    """Return a tensor of the first adapter; in a layer that it lacks, one that changes nothing."""
    if name in first:
        return first[name].float()
    return second.float() if '.lora_A.' in name else second.float() * 0.0
