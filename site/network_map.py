"The network of a chapter as an SVG: what `draw_network` draws, with a link in each box."
import math
from backprop_nb.graph import _NETS as NETS

W, H = 86, 54  # width and height of a box
TALL = 162     # height of the whole

def text(x, y, words, kind='', anchor='middle'):
    "A line of text at x, y; `Z_1` gets a subscript, `\\gamma` is a letter."
    words = words.replace(r'\gamma', 'γ').replace(r'\beta', 'β')
    name, _, rest = words.partition('_')
    if rest:
        words = (f'{name}<tspan dy="3" font-size="75%">{rest[0]}</tspan>'
                 f'<tspan dy="-3">{rest[1:]}</tspan>')
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{words}</text>'

def arrow(x, y, u, v, kind=''):
    "A straight arrow from x, y to u, v, level or upright."
    dx, dy = (u > x) - (u < x), (v > y) - (v < y)
    a, b = u - 7*dx, v - 7*dy
    points = f'{u:g},{v:g} {a - 3.5*dy:g},{b - 3.5*dx:g} {a + 3.5*dy:g},{b + 3.5*dx:g}'
    return (f'<path class="{kind}" d="M{x:g} {y:g}L{u - 5*dx:g} {v - 5*dy:g}"/>'
            f'<polygon class="{kind}" points="{points}"/>')

def box(x, y, name, chapter, page, lit):
    "The box of one operation, its left upper corner at x, y: a link to its chapter."
    words = name.rstrip('12').split('_', 1)
    op = ''.join(text(x + W/2, y + 22 - 7*(len(words) - 1) + 14*i, w,
                      'op long' if len(w) > 8 else 'op') for i, w in enumerate(words))
    label = f"{' '.join(words)}, chapter {chapter}{', where we are' if lit else ''}"
    return (f'<a href="{page}.html" class="{"box lit" if lit else "box"}" aria-label="{label}">'
            f'<rect x="{x:g}" y="{y:g}" width="{W}" height="{H}" rx="5"/>{op}'
            + text(x + W/2, y + 46, f'chapter {chapter}', 'chapter') + '</a>')

def params(x, y, rows):
    "What enters a box from below at x, y, with the gradients that come out there."
    up = y + 24
    drawn = [arrow(x - 7, up, x - 7, y + 2), arrow(x + 7, y + 2, x + 7, up, 'grad')]
    for i, (name, shape) in enumerate(rows):
        drawn += [text(x - 2, up + 14 + 16*i, f'{name} {shape}', 'value', 'end'),
                  text(x + 5, up + 14 + 16*i, f'{name}.g', 'grad', 'start')]
    return ''.join(drawn)

def both_ways(x, u, y, name):
    """The arrows of value and gradient between x and u, beside a box at y, and in front of the box
    `name`. In front of an embedding stand whole numbers, which have no gradient."""
    back = '' if name == 'embedding' else arrow(u, y + 34, x, y + 34, 'grad')
    return arrow(x, y + 20, u, y + 20) + back

def halves(shape) -> list:
    "A shape in one line, a long one in two: `(N, 8, 28, 28)`."
    at = shape.find(',', len(shape)//2 - 2) + 1
    return [shape] if len(shape) <= 10 else [shape[:at], shape[at:].strip()]

def wide(rows, lit, pages):
    "The whole network in one row, with values and shapes: what is drawn, width and height."
    gap, y, drawn = 12 + 6*max(len(s) for row in rows for s in halves(row[3])), 44, []
    for k, (name, chapter, out, shape, *extra) in enumerate(rows):
        x, lines, then = 2 + k*(W + gap), halves(shape), rows[k + 1][0] if rows[k + 1:] else ''
        mid = x + W + gap/2
        drawn += [box(x, y, name, chapter, pages[chapter], name in lit),
                  both_ways(x + W + 3, x + W + gap - 3, y, then),
                  text(mid, y + 8 - 14*len(lines), out, 'value')]
        if then != 'embedding': drawn.append(text(mid, y + 49, f'{out}.g', 'grad'))
        drawn += [text(mid, y + 21 + 12*(i - len(lines)), s, 'shape') for i, s in enumerate(lines)]
        if extra: drawn.append(params(x + W/2, y + H, extra))
    drawn += [arrow(x + W/2, y + H + 24, x + W/2, y + H + 2), text(x + W/2, y + H + 38, 'y (N,)')]
    return drawn, x + W + gap, TALL

def small(rows, lit, pages):
    "The boxes alone, at most five in a row, for narrow screens: what is drawn, width and height."
    lines = math.ceil(len(rows) / 5)
    per, gap, drawn = math.ceil(len(rows) / lines), 16, []
    for k, (name, chapter, *_) in enumerate(rows):
        x, y = 2 + gap*(lines > 1) + k % per*(W + gap), 2 + k//per*(H + 14)
        drawn.append(box(x, y, name, chapter, pages[chapter], name in lit))
        if k: drawn.append(both_ways(x - gap + 1, x - 1, y, name))
    return drawn, 2 + gap*(lines > 1) + per*(W + gap) - gap + 2, lines*(H + 14) - 10

def network_map(
    lit,       # the lit boxes, as draw_network has it: a name, several, 'all' or None
    net,       # 'regression', 'binary', 'digits' or 'conv'
    pages,     # the name of each chapter's page by its number: {'04': '04_relu'}
) -> str:
    "A network as HTML: an SVG for wide screens and one for narrow ones; the stylesheet shows one."
    rows, svgs = NETS[net], []
    names = [row[0] for row in rows]
    lit = set(names) if lit == 'all' else {lit} if isinstance(lit, str) else set(lit or ())
    if lit - set(names): raise ValueError(f'no box of {net} is named {lit - set(names)}')
    title = f"The network: {', '.join(n.rstrip('12').replace('_', ' ') for n in names)}"
    for draw in wide, small:
        drawn, width, height = draw(rows, lit, pages)
        svgs.append(f'<svg class="{draw.__name__}" viewBox="0 0 {width:.0f} {height}" role="group" '
                    f'aria-label="{title}" style="max-width: {1.1*width:.0f}px">'
                    f'{"".join(drawn)}</svg>')
    # what is a headerlink does not show up in the results of a search
    whole = ' whole' * (lit == set(names))
    return f'<div class="network-map headerlink{whole}">{"".join(svgs)}</div>'
