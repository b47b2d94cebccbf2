"""Copies of the notebooks to work in: `python tools/work.py`, and `make lab` before it opens.

What is in work/ is yours. A notebook that is not there yet is copied; nothing is ever overwritten,
so `git pull` and your answers never meet. Where the course has a newer one, a line says so."""
import hashlib, json, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

def create(path, data):
    "A new file with this in it, or none at all; x: not even one that came this moment is lost."
    with open(path, 'xb') as f:
        try: f.write(data); f.flush()
        except BaseException: path.unlink(); raise

def noted(note) -> dict:
    "What the note says; nothing, where it is not there or damaged."
    try: seen = json.loads(note.read_text())
    except (OSError, ValueError): return {}
    return seen if isinstance(seen, dict) else {}

def copy(root=ROOT) -> tuple:
    "Copy what is lacking into work/; the names of what is new there, and of what has a newer one."
    work = Path(root)/'work'
    note = work/'.copied.json'  # of each notebook the checksum that it had when it was copied
    work.mkdir(exist_ok=True)
    seen, new, newer = noted(note), [], []
    for p in sorted((Path(root)/'nbs').glob('*.ipynb')):
        data, mine = p.read_bytes(), work/p.name
        now = hashlib.sha256(data).hexdigest()
        if not mine.exists():
            create(mine, data)
            seen[p.name] = now
            new.append(p.stem)
        elif seen.setdefault(p.name, now) != now: newer.append(p.stem)
    note.write_text(json.dumps(seen, indent=1))
    return new, newer

def main() -> int:
    new, newer = copy()
    if new: print(f'{len(new)} notebooks copied to work/: they are yours, git leaves them alone')
    for name in newer:
        print(f'work/{name}.ipynb is yours and stays; a newer one is nbs/{name}.ipynb '
              '(rename yours, and the next `make lab` copies it)')
    return 0

if __name__ == '__main__': sys.exit(main())
