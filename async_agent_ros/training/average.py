"""
The mean of two adapters: between one that was trained on and what it was trained on from.

Where both lie in one valley, the mean keeps what the first could and takes what the second learned
(Wortsman et al., arXiv 2109.01903). Both must have been trained from the same beginning.
"""
import pathlib
import shutil

from async_agent_ros.training.sft import module, TrainingError

CONFIG, WEIGHTS = 'adapter_config.json', 'adapter_model.safetensors'


def average(first: pathlib.Path, second: pathlib.Path, out: pathlib.Path,
            weight: float = 0.5) -> pathlib.Path:
    """
    Write (1 - weight) * first + weight * second, in half precision; return the folder.

    The folders hold adapters of peft. Raises TrainingError when they do not fit.
    """
    if not 0.0 <= weight <= 1.0:
        raise TrainingError(f'weight is {weight}: it must be between 0 and 1')
    load = module('safetensors.torch').load_file
    for folder in (first, second):
        if not (folder / WEIGHTS).is_file():
            raise TrainingError(f'{folder} holds no adapter; train one with: async-agent train sft')
    a, b = load(first / WEIGHTS), load(second / WEIGHTS)
    if {k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()}:
        raise TrainingError(f'{first} and {second} are adapters of different models, layers or '
                            'ranks: they have no mean')
    out.mkdir(parents=True, exist_ok=True)
    mean = {k: ((1.0 - weight) * a[k].float() + weight * b[k].float()).half() for k in a}
    module('safetensors.torch').save_file(mean, out / WEIGHTS, metadata={'format': 'pt'})
    if first.resolve() != out.resolve():
        shutil.copyfile(first / CONFIG, out / CONFIG)
    return out
