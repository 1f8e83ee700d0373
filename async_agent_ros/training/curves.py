"""The record of a training run: one line per step as CSV, and the curves as a small SVG."""
import csv
import pathlib
from typing import Any, Dict, List, Sequence, Tuple

FIELDS = ('step', 'loss', 'learning_rate', 'tokens', 'seconds', 'valid_loss',
          'valid_exact_percent')
_WIDTH, _HEIGHT, _EDGE = 640, 300, 44


class Record:
    """Appends rows; after a resume, rows of steps that are done again are replaced."""

    def __init__(self, folder: pathlib.Path, from_step: int):
        self._path = folder / 'log.csv'
        self._svg = folder / 'curves.svg'
        self.rows: List[Dict[str, Any]] = [
            r for r in read(self._path) if int(r['step']) <= from_step]
        self._write()

    def add(self, row: Dict[str, Any]) -> None:
        """Add a row and save."""
        self.rows.append(row)
        with open(self._path, 'a', encoding='utf-8', newline='') as file:
            csv.DictWriter(file, FIELDS).writerow(row)

    def draw(self) -> None:
        """Write the curves."""
        self._svg.write_text(svg(self.rows), encoding='utf-8')

    def _write(self):
        with open(self._path, 'w', encoding='utf-8', newline='') as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(self.rows)


def read(path: pathlib.Path) -> List[Dict[str, Any]]:
    """Return the rows of a log, numbers as numbers; none where there is no file."""
    if not path.is_file():
        return []
    with open(path, encoding='utf-8', newline='') as file:
        return [{k: (int(v) if k in ('step', 'tokens') else float(v)) if v else ''
                 for k, v in row.items()} for row in csv.DictReader(file)]


def svg(rows: Sequence[Dict[str, Any]]) -> str:
    """Return the loss over the steps: training (thin), validation (dots)."""
    train = [(r['step'], r['loss']) for r in rows if r.get('loss') not in ('', None)]
    valid = [(r['step'], r['valid_loss']) for r in rows if r.get('valid_loss') not in ('', None)]
    points = train + valid
    if not points:
        return '<svg xmlns="http://www.w3.org/2000/svg"/>\n'
    last = max(s for s, _ in points) or 1
    top = max(v for _, v in points) * 1.05 or 1.0

    def place(point: Tuple[float, float]) -> str:
        step, value = point
        x = _EDGE + step / last * (_WIDTH - 2 * _EDGE)
        y = _HEIGHT - _EDGE - value / top * (_HEIGHT - 2 * _EDGE)
        return f'{x:.1f},{y:.1f}'
    dots = ''.join(f'<circle cx="{p[0]}" cy="{p[1]}" r="3" fill="#c43"/>'
                   for p in (place(v).split(',') for v in valid))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f'<path d="M{_EDGE},{_EDGE} V{_HEIGHT - _EDGE} H{_WIDTH - _EDGE}" fill="none" '
        f'stroke="#888"/><polyline fill="none" stroke="#27c" points="'
        f'{" ".join(map(place, train))}"/>{dots}'
        f'<text x="{_EDGE}" y="{_EDGE - 12}">loss, {top / 1.05:.2f} at most; dots: validation'
        f'</text><text x="{_WIDTH - _EDGE}" y="{_HEIGHT - 16}" text-anchor="end">{last} steps'
        f'</text></svg>\n')
