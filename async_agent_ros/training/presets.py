"""Settings of a training run, and the presets of config/training.yaml."""
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Dict, Tuple

from async_agent_ros.training.paths import load_yaml
from async_agent_ros.training.tables import TableError


@dataclass(frozen=True)
class Settings:
    """All that a training run depends on, apart from the data and the version of the package."""

    model: str = 'smollm2-135m'
    """A packaged model's name, a folder of safetensors, a GGUF file, or a name on the hub."""
    method: str = 'lora'
    """'lora' trains an adapter, 'full' all weights."""
    start: str = ''
    """An adapter to begin with, instead of a fresh one: its folder, or the name of a tuned model
    (`sim_robot-0.5b`). The rank is its own; layers of `top_layers` that it lacks begin fresh."""
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    modules: Tuple[str, ...] = ('q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj',
                                'down_proj')
    top_layers: int = 0
    """More than 0: an adapter for the last so many layers only. Nothing below them is kept or
    computed for the backward pass: half the layers take half the memory, two thirds of the time."""
    learning_rate: float = 2e-4
    warmup: float = 0.03
    """Part of the steps in which the learning rate rises."""
    weight_decay: float = 0.0
    clip: float = 1.0
    epochs: float = 1.0
    steps: int = 0
    """More than 0: train so many steps, whatever `epochs` says."""
    pack_tokens: int = 4096
    packs_per_step: int = 4
    longest_tokens: int = 4096
    """Samples with more tokens are left out."""
    device: str = 'auto'
    dtype: str = 'auto'
    """Of the frozen weights; 'auto': bfloat16 on a GPU and on a CPU that multiplies it (AMX),
    float32 on others and for all weights."""
    threads: int = 0
    checkpointing: bool = False
    """Compute activations again instead of keeping them: less memory, a third more time."""
    seed: int = 1
    valid_every: int = 50
    valid_packs: int = 8
    save_every: int = 50

    def to_json(self) -> Dict[str, Any]:
        """Return the fields as a JSON object."""
        return {**asdict(self), 'modules': list(self.modules)}


def settings_of(value: Dict[str, Any], base: Settings = Settings()) -> Settings:
    """Return settings with some values changed; raises TableError for an unknown one."""
    known = {f.name: getattr(base, f.name) for f in fields(Settings)}
    given = {}
    for key, item in value.items():
        if key not in known:
            raise TableError(f'unknown training setting {key!r}; known are '
                             f'{", ".join(sorted(known))}')
        kind = type(known[key])
        try:
            given[key] = tuple(item) if kind is tuple else kind(item)
        except (TypeError, ValueError) as error:
            raise TableError(f'training setting {key} must be like {known[key]!r}, '
                             f'not {item!r}') from error
    made = replace(base, **given)
    if made.method not in ('lora', 'full'):
        raise TableError(f"training setting method is {made.method!r}; known are 'lora', 'full'")
    return made


def presets() -> Dict[str, Dict[str, Any]]:
    """Return the presets by name."""
    return (load_yaml('training.yaml') or {}).get('presets') or {}


def preset(name: str) -> Settings:
    """Return the settings of a preset; raises TableError that lists those that exist."""
    known = presets()
    if name not in known:
        raise TableError(f'there is no preset {name!r}; known are {", ".join(known)}')
    return settings_of({k: v for k, v in known[name].items() if k != 'about'})
