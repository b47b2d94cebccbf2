"Compare the saved outputs of a notebook with those of a fresh run."
import math, re

NUMBER = re.compile(r'[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?')
REFUSED = {'a memory address': r'\b0x[0-9a-fA-F]{6,}',
           'a path of one machine': r'/(?:home|root|tmp|Users|var/folders)/|\b[A-Z]:\\Users'}

def texts(cell) -> list:
    "The outputs of a cell as [(kind, text)]: each stream, then each picture or value, in order."
    streams, rest = {}, []
    for o in cell.outputs:
        if o.output_type == 'stream': streams[o.name] = streams.get(o.name, '') + o.text
        elif o.output_type == 'error': rest.append(('error', f'{o.ename}: {o.evalue}'))
        else: rest += [(k, x if k.startswith('text/') else '') for k, x in sorted(o.data.items())]
    return [*streams.items(), *rest]

def same(a, b, rtol=1e-3) -> bool:
    "Same words, same numbers within `rtol`? The amount of white space does not matter."
    words = [' '.join(NUMBER.sub('#', s).split()) for s in (a, b)]
    numbers = [map(float, NUMBER.findall(s)) for s in (a, b)]
    return words[0] == words[1] and all(math.isclose(*xy, rel_tol=rtol) for xy in zip(*numbers))

def problems(cell, fresh) -> list:
    "What is wrong with the saved outputs of one code cell, given the cell of a fresh run."
    if re.search(r'^#\| *timing\b', cell.source, re.M): return []
    old, new = texts(cell), texts(fresh)
    bad = [f'{k} output: {text.strip()[:200]}' for k, text in old + new if k in ('stderr', 'error')]
    bad += [f'{what} in the output: {text.strip()[:200]}' for what, pattern in REFUSED.items()
            for _, text in old + new if re.search(pattern, text)]
    if [k for k, _ in old] != [k for k, _ in new]:
        return bad + [f'saved outputs are {[k for k, _ in old]}, fresh ones {[k for k, _ in new]}']
    return bad + [f'{kind} differs\n  saved: {a.strip()}\n  fresh: {b.strip()}'
                  for (kind, a), (_, b) in zip(old, new) if not same(a, b)]

def compare(saved, fresh) -> list:
    "What is wrong with the saved outputs of a notebook, one text for each trouble."
    return [f'cell {i}: {p}' for i, (a, b) in enumerate(zip(saved.cells, fresh.cells), 1)
            if a.cell_type == 'code' for p in problems(a, b)]
