"""
Supervised fine-tuning on synthetic conversations: an adapter (LoRA) or all weights.

One GPU or a CPU. Step k of a run depends on the settings, the data and k alone, so a run that was
stopped goes on as if it had not been. The logits are computed only where the model wrote something:
with a vocabulary of 150,000 that is what makes it fit.
"""
import importlib
import json
import math
import os
import pathlib
import shutil
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple
import warnings

from async_agent_ros import __version__, models, tuned_models
from async_agent_ros.llm.engine import EngineError, ModelMissingError
from async_agent_ros.training import memory, tree_attention
from async_agent_ros.training.curves import Record
from async_agent_ros.training.packing import Pack, packs, Tokens, tokenised
from async_agent_ros.training.presets import Settings
from async_agent_ros.training.samples import read
from async_agent_ros.training.tables import TableError


class TrainingError(Exception):
    """The training cannot go on. The message names the thing and the remedy."""


def module(name: str) -> Any:
    """Import a package of the extra `training`; raises TrainingError with the remedy."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TrainingError(f'training needs {name} ({error}); get it with: '
                            "pip install 'async_agent_ros[training]'") from error


def source(model: str) -> str:
    """Return what from_pretrained() takes for a packaged model, a path or a name on the hub."""
    from async_agent_ros.llm.weights import weights_folder
    try:
        return str(weights_folder(model))
    except (ModelMissingError, models.ModelError) as error:
        if model.count('/') == 1 and not model.startswith(('.', '/', '~')):
            return model
        raise TrainingError(str(error)) from error
    except EngineError as error:
        raise TrainingError(str(error)) from error


def first_adapter(settings: Settings) -> pathlib.Path:
    """Return the folder of the adapter that a run begins with; raises TrainingError."""
    try:
        tuned = tuned_models.find(settings.start)
    except models.ModelError as error:
        raise TrainingError(str(error)) from error
    if tuned and tuned.base != settings.model:
        raise TrainingError(f'{settings.start} is for the model {tuned.base}, not for '
                            f'{settings.model}; begin with a fresh adapter: --set start=')
    folder = pathlib.Path(tuned.adapters.get('transformers', '') if tuned else settings.start)
    if not (folder / 'adapter_config.json').is_file():
        raise TrainingError(f'{folder} holds no adapter to begin with; give the folder that '
                            '`train sft` wrote, or leave `start` empty')
    return folder


def multiplies_bfloat16(torch) -> bool:
    """Tell whether this CPU multiplies matrices of bfloat16 (AMX): 4 to 8 times as fast."""
    asked = getattr(torch.cpu, '_is_amx_tile_supported', None)
    return bool(asked and asked())


class Trainer:
    """A training run in a folder; `run()` begins it or goes on with it."""

    def __init__(self, settings: Settings, data: pathlib.Path, folder: pathlib.Path,
                 say: Callable[[str], None] = lambda line: None):
        self.settings = settings
        self.data = pathlib.Path(data)
        self.folder = pathlib.Path(folder)
        self.say = say
        self.step = 0
        self.left_out = 0

    # -- what is trained --------------------------------------------------------------------------
    def prepare(self) -> None:
        """Load model and data, or the checkpoint of the run in this folder."""
        self.torch = torch = module('torch')
        transformers = module('transformers')
        transformers.utils.logging.disable_progress_bar()
        tree_attention.register(torch, transformers)
        # peft asks transformers in a way that transformers is about to rename
        warnings.filterwarnings('ignore', message='`is_gradient_checkpointing`')
        s = self.settings
        if s.threads:
            torch.set_num_threads(s.threads)
        self.device = s.device if s.device != 'auto' else (
            'cuda' if torch.cuda.is_available() else 'cpu')
        self.folder.mkdir(parents=True, exist_ok=True)
        self._same_run()
        self.from_ = source(s.model)
        try:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(self.from_)
            self._load(transformers)
        except (OSError, ValueError, RuntimeError) as error:
            raise TrainingError(f'{s.model} cannot be loaded: {error}') from error
        self.train_tokens = self._tokens('train')
        self.valid_packs = packs(self._tokens('valid'), s.pack_tokens, 0)[:s.valid_packs]
        per_epoch = max(1, len(self._packs(0)) // s.packs_per_step)
        self.steps = s.steps or max(1, math.ceil(per_epoch * s.epochs))
        self.per_epoch = per_epoch
        self._make_optimizer()

    def _load(self, transformers) -> None:
        torch, s = self.torch, self.settings
        self.mixed = self.device != 'cpu' or s.dtype == 'bfloat16' or (
            s.dtype == 'auto' and multiplies_bfloat16(torch))
        name = s.dtype if s.dtype != 'auto' else (
            'bfloat16' if self.mixed and s.method == 'lora' else 'float32')
        self.kept_part = 0.0
        if self.mixed and self.device == 'cpu' and memory.keep_freed():
            self.kept_part = 0.5
        checkpoint = self.folder / 'checkpoint'
        going_on = (checkpoint / 'state.json').is_file()
        whole = str(checkpoint / 'model') if going_on and s.method == 'full' else self.from_
        model = transformers.AutoModelForCausalLM.from_pretrained(
            whole, dtype=getattr(torch, name), attn_implementation=tree_attention.NAME)
        model.config.use_cache = False
        if s.checkpointing:
            model.gradient_checkpointing_enable({'use_reentrant': False})
            model.enable_input_require_grads()
        if s.method == 'lora':
            peft = module('peft')
            torch.manual_seed(s.seed)
            begun = checkpoint / 'adapter' if going_on else s.start and first_adapter(s)
            layers = list(range(model.config.num_hidden_layers))[-s.top_layers:]    # -0: all
            model = widened(peft, model, begun, layers) if begun else peft.get_peft_model(
                model, peft.LoraConfig(
                    r=s.rank, lora_alpha=s.alpha, lora_dropout=s.dropout,
                    target_modules=list(s.modules), task_type='CAUSAL_LM',
                    layers_to_transform=layers))
            for part in model.modules() if self.mixed else ():
                # autocast casts what goes in; peft would cast it up first
                if hasattr(part, 'cast_input_dtype_enabled'):
                    part.cast_input_dtype_enabled = False
        self.model = model.to(self.device)

    @property
    def inner(self) -> Any:
        """The causal model; an adapter sits in its layers."""
        return self.model.get_base_model() if self.settings.method == 'lora' else self.model

    def _encode(self, text: str) -> List[int]:
        return self.tokenizer(text, add_special_tokens=False)['input_ids']

    def _tokens(self, split: str) -> List[Tokens]:
        path = self.data / f'{split}.jsonl'
        if not path.is_file():
            raise TrainingError(f'there is no {path}; make the data with: async-agent train '
                                f'synthesize --out {self.data}')
        made = [tokenised(sample, self._encode) for sample in read(path)]
        kept = [t for t in made if len(t.ids) <= self.settings.longest_tokens]
        self.left_out += len(made) - len(kept)
        if not kept:
            raise TrainingError(f'no sample of {path} has at most '
                                f'{self.settings.longest_tokens} tokens; raise longest_tokens')
        return kept

    def _packs(self, epoch: int) -> List[Pack]:
        if getattr(self, '_epoch', None) != epoch:
            self._epoch = epoch
            self._epoch_packs = packs(self.train_tokens, self.settings.pack_tokens,
                                      self.settings.seed * 1000 + epoch)
        return self._epoch_packs

    def _make_optimizer(self) -> None:
        torch, s = self.torch, self.settings
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=s.learning_rate,
                                           weight_decay=s.weight_decay, betas=(0.9, 0.98))
        checkpoint = self.folder / 'checkpoint'
        if (checkpoint / 'state.json').is_file():
            self.step = json.loads((checkpoint / 'state.json').read_text())['step']
            self.optimizer.load_state_dict(torch.load(
                checkpoint / 'optimizer.pt', map_location=self.device, weights_only=True))

    def _same_run(self) -> None:
        """Refuse to go on with other settings than those that the run began with."""
        path = self.folder / 'settings.json'
        now = self.settings.to_json()
        if path.is_file() and (self.folder / 'checkpoint' / 'state.json').is_file():
            before = json.loads(path.read_text())['settings']
            free = ('device', 'threads', 'save_every', 'valid_every')
            other = [k for k in now if k not in free and before.get(k) != now[k]]
            if other:
                raise TrainingError(
                    f'{self.folder} holds a run with other settings ({", ".join(other)}); go on '
                    'with the same ones, or give another folder with --out')
            return
        path.write_text(json.dumps({'version': __version__, 'settings': now,
                                    'data': str(self.data)}, indent=1) + '\n')

    # -- steps ------------------------------------------------------------------------------------
    def rate(self, step: int) -> float:
        """Return the learning rate: a linear rise, then half a cosine to a tenth."""
        s = self.settings
        rise = max(1, round(self.steps * s.warmup))
        if step < rise:
            return s.learning_rate * (step + 1) / rise
        done = (step - rise) / max(1, self.steps - rise)
        return s.learning_rate * (0.1 + 0.45 * (1.0 + math.cos(math.pi * min(1.0, done))))

    def losses(self, pack: Pack) -> Tuple[Any, Any]:
        """Return the loss of every target of a pack, and whether the model's choice is right."""
        torch = self.torch
        where = torch.tensor([t[0] for t in pack.targets], device=self.device)
        wanted = torch.tensor([t[1] for t in pack.targets], device=self.device)
        with torch.autocast(self.device.split(':')[0], torch.bfloat16, enabled=self.mixed):
            hidden = self.inner.get_decoder()(
                input_ids=torch.tensor([pack.ids], device=self.device),
                position_ids=torch.tensor([pack.positions], device=self.device),
                use_cache=False, tree=tree_attention.branches(
                    torch, pack, self.device, plain=self.mixed and self.device == 'cpu')
            ).last_hidden_state[0]
            logits = self.inner.get_output_embeddings()(hidden[where]).float()
        loss = torch.nn.functional.cross_entropy(logits, wanted, reduction='none')
        return loss, logits.argmax(-1) == wanted

    def batch(self, step: int) -> List[Pack]:
        """Return the packs of a step."""
        found = []
        for i in range(self.settings.packs_per_step):
            number = step * self.settings.packs_per_step + i
            size = max(1, self.per_epoch * self.settings.packs_per_step)
            epoch, at = divmod(number, size)
            of = self._packs(epoch)
            found.append(of[at % len(of)])
        return found

    def train_step(self) -> Tuple[float, int]:
        """Do one step; return the mean loss over the targets, and the tokens read."""
        torch = self.torch
        if self.kept_part:
            memory.give_back(self.kept_part)
        torch.manual_seed(self.settings.seed * 1_000_003 + self.step)
        self.model.train()
        for group in self.optimizer.param_groups:
            group['lr'] = self.rate(self.step)
        batch = self.batch(self.step)
        count = sum(len(p.targets) for p in batch)
        total = 0.0
        for pack in batch:
            loss, _ = self.losses(pack)
            (loss.sum() / count).backward()
            total += float(loss.detach().sum())
        torch.nn.utils.clip_grad_norm_(self.weights, self.settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        # float32 takes twice the room: the first step shows whether there is enough
        if (self.device == 'cpu' and not self.kept_part and memory.has_room()
                and memory.keep_freed()):
            self.kept_part = 0.87
        return total / count, sum(len(p.ids) for p in batch)

    def validate(self) -> Tuple[float, float]:
        """Return the loss, and the percentage of generations that greedy decoding gets exactly."""
        self.model.eval()
        total, count, right, spans = 0.0, 0, 0, 0
        with self.torch.no_grad():
            for pack in self.valid_packs:
                loss, hit = self.losses(pack)
                total += float(loss.sum())
                count += len(pack.targets)
                wrong = {t[2] for t, ok in zip(pack.targets, hit.tolist()) if not ok}
                spans += pack.spans
                right += pack.spans - len(wrong)
        return total / max(1, count), 100.0 * right / max(1, spans)

    def run(self, until: Optional[int] = None) -> Sequence[Dict[str, Any]]:
        """Train to the end (or to a step), saving on the way; return the rows of the log."""
        self.prepare()
        s = self.settings
        record = Record(self.folder, self.step)
        trained = sum(p.numel() for p in self.weights)
        self.say(f'{s.model}, {s.method}, {trained / 1e6:.1f} million weights trained, '
                 f'{self.steps} steps of {s.packs_per_step} packs, on {self.device}'
                 + (f'; {self.left_out} samples are too long and left out'
                    if self.left_out else ''))
        if self.step:
            self.say(f'going on after step {self.step}')
        end = min(self.steps, until or self.steps)
        if not self.step and not record.rows:
            valid, exact = self.validate()
            record.add({'step': 0, 'loss': '', 'learning_rate': '', 'tokens': 0, 'seconds': 0.0,
                        'valid_loss': round(valid, 6), 'valid_exact_percent': round(exact, 2)})
            self.say(f'before training: validation {valid:.4f}, {exact:.1f} % exact')
        started, tokens = time.monotonic(), 0
        begun = self.step
        while self.step < end:
            loss, read_tokens = self.train_step()
            tokens += read_tokens
            seconds = time.monotonic() - started
            row = {'step': self.step, 'loss': round(loss, 6), 'tokens': read_tokens,
                   'learning_rate': f'{self.rate(self.step - 1):.3g}',
                   'seconds': round(seconds, 2), 'valid_loss': '', 'valid_exact_percent': ''}
            if self.step % s.valid_every == 0 or self.step == self.steps:
                valid, exact = self.validate()
                row['valid_loss'], row['valid_exact_percent'] = round(valid, 6), round(exact, 2)
            record.add(row)
            left_s = seconds / (self.step - begun) * (self.steps - self.step)
            self.say(f'step {self.step}/{self.steps}  loss {loss:.4f}'
                     + (f'  validation {row["valid_loss"]:.4f}, {row["valid_exact_percent"]:.1f} % '
                        'exact' if row['valid_loss'] != '' else '')
                     + f'  {tokens / seconds:.0f} tokens/s  {left_s / 60:.0f} min left')
            if self.step % s.save_every == 0 or self.step == end:
                self.save()
                record.draw()
        if self.step >= end:
            self.export_adapter()
        return record.rows

    # -- what is kept -----------------------------------------------------------------------------
    def save(self) -> None:
        """Write the checkpoint; the old one stays until the new one is whole."""
        new, old = self.folder / 'checkpoint.new', self.folder / 'checkpoint'
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        name = 'adapter' if self.settings.method == 'lora' else 'model'
        self.model.save_pretrained(new / name)
        self.torch.save(self.optimizer.state_dict(), new / 'optimizer.pt')
        (new / 'state.json').write_text(json.dumps({'step': self.step}) + '\n')
        shutil.rmtree(old, ignore_errors=True)
        os.replace(new, old)

    def export_adapter(self) -> pathlib.Path:
        """Write what was trained: an adapter in half precision, or the weights in bfloat16."""
        if self.settings.method == 'full':
            target = self.folder / 'merged'
            save_weights(self.torch, self.model, self.tokenizer, target)
            return target
        target = self.folder / 'adapter'
        self.model.save_pretrained(target)
        safetensors = module('safetensors.torch')
        path = target / 'adapter_model.safetensors'
        tensors = safetensors.load_file(path)
        safetensors.save_file({k: v.half() for k, v in tensors.items()}, path,
                              metadata={'format': 'pt'})
        path.chmod(0o644)    # it is made to be handed on
        config = json.loads((target / 'adapter_config.json').read_text())
        config['base_model_name_or_path'] = self.settings.model
        (target / 'adapter_config.json').write_text(json.dumps(config, indent=1,
                                                               sort_keys=True) + '\n')
        return target


def widened(peft, model, adapter: pathlib.Path, layers: Sequence[int]):
    """Return the model with an adapter to go on with; layers that it lacks begin fresh."""
    config = peft.PeftConfig.from_pretrained(adapter)
    config.inference_mode = False
    config.base_model_name_or_path = None    # written again on export; peft warns of another one
    if config.layers_to_transform is not None:
        config.layers_to_transform = sorted({*config.layers_to_transform, *layers})
    model = peft.get_peft_model(model, config)
    weights = module('safetensors.torch').load_file(adapter / 'adapter_model.safetensors')
    peft.set_peft_model_state_dict(model, weights)
    return model


def save_weights(torch, model, tokenizer, target: pathlib.Path) -> None:
    """Write whole weights in bfloat16, with the tokenizer: an engine can load the folder."""
    model = model.to('cpu', dtype=torch.bfloat16)
    model.config.use_cache = True
    model.hf_quantizer = None
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def merge(adapter: pathlib.Path, target: pathlib.Path, model: str = '') -> pathlib.Path:
    """Write base and adapter as one folder of weights; return it."""
    torch, transformers, peft = module('torch'), module('transformers'), module('peft')
    config = pathlib.Path(adapter) / 'adapter_config.json'
    if not config.is_file():
        raise TrainingError(f'{adapter} holds no adapter; train one with: async-agent train sft')
    base = source(model or json.loads(config.read_text())['base_model_name_or_path'])
    try:
        loaded = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        merged = peft.PeftModel.from_pretrained(loaded, adapter).merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainingError(f'{adapter} does not fit {base}: {error}') from error
    save_weights(torch, merged, transformers.AutoTokenizer.from_pretrained(base), target)
    return target


__all__ = ['merge', 'save_weights', 'TableError', 'Trainer', 'TrainingError']
