"""The pages of attention and of convolution, in a real browser: their sums are the package's, and
they show what they sum.

The browser opens a page's own block of HTML, so that no site needs to be built for this."""
import math, random, re, shutil
import pytest, torch
from torch.testing import assert_close
from backprop_nb.attention import attention, attention_grad
from backprop_nb.conv import conv2d, conv2d_grad
from conftest import PAGE, quiet
from run_course import ROOT

SITE = ROOT/'site'
TEXTS = {n: (SITE/f'play_{n}.md').read_text('utf-8') for n in ('attention', 'conv')}
FILES = {n: {'_static/course.css', *(f'_static/play_{f}' for f in (
    'tables.css', 'tables.js', f'{n}.js'))} for n in TEXTS}

def told(name, k):
    "The numbers that the page tells under the k-th thing to try."
    thing = re.split(r'^\d\. ', TEXTS[name], flags=re.M)[k]
    return {float(x) for x in re.findall(r'(?<![\w\[,.])-?\d+(?:\.\d+)?(?![\w\]])', thing)}

# ---- the package's side: from a state, all tables and their gradients

def t(rows): return torch.tensor(rows, dtype=torch.float64)

def attended(s):
    "(values, gradients, L) of attention; the weights and their gradients are read off the package."
    q,k,v,up = [t(s[n]) for n in ('q', 'k', 'v', 'out.g')]
    if not s['scale']: q = q * math.sqrt(2)
    mask = torch.ones(4, 4, dtype=torch.bool).tril() if s['mask'] else None
    out = attention(q, k, v, mask)
    out.g = up
    attention_grad(q, out, k, v, mask)
    A = attention(q, k, torch.eye(4).double(), mask)  # the mean of one-hot values is the weights
    Z = q @ k.T / math.sqrt(2)
    if s['mask']: Z = Z.masked_fill(~mask, -math.inf)
    A.g = up @ v.T
    Z.g, = torch.autograd.grad(Z.requires_grad_().softmax(1), Z, A.g)
    q_g = q.g * (1 if s['scale'] else math.sqrt(2))
    values = {'q': t(s['q']), 'k': k, 'v': v, 'Z': Z.detach(), 'A': A, 'out': out}
    return values, {'q': q_g, 'k': k.g, 'v': v.g, 'Z': Z.g, 'A': A.g, 'out': up}, (out * up).sum()

def convolved(s):
    "(values, gradients, L) of the convolution."
    x,w,up = [t(s[n])[None,None] for n in ('x', 'w', 'out.g')]
    b = t(s['b'])[0]
    out = conv2d(x, w, b, 1, s['padding'])
    out.g = up
    conv2d_grad(x, out, w, b, 1, s['padding'])
    values = {'x': x, 'w': w, 'b': b[None,None,None], 'out': out}
    grads = {'x': x.g, 'w': w.g, 'b': b.g[None,None,None], 'out': up}
    return *({n: u[0,0] for n,u in d.items()} for d in (values, grads)), (out * up).sum()

MODEL = {'attention': attended, 'conv': convolved}

def numbers(rng, *shape):
    if not shape: return rng.gauss(0, 1)
    return [numbers(rng, *shape[1:]) for _ in range(shape[0])]

def some_state(name, rng):
    if name == 'attention':
        return {n: numbers(rng, 4, 2) for n in ('q', 'k', 'v', 'out.g')} | {
            'mask': rng.random() < .5, 'scale': rng.random() < .5}
    padding = rng.randint(0, 1)
    return {'x': numbers(rng, 6, 6), 'w': numbers(rng, 3, 3), 'b': numbers(rng, 1, 1),
            'out.g': numbers(rng, 4 + 2*padding, 4 + 2*padding), 'padding': padding}

# ---- the page's side

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Each page's block of HTML in a page of its own, beside the files that it asks for."
    folder = tmp_path_factory.mktemp('tables')
    (folder/'_static').mkdir()
    for name,text in TEXTS.items():
        blocks = re.findall(r'```\{raw\} html\n(.*?)```', text, re.S)
        (folder/f'{name}.html').write_text(PAGE.format('\n'.join(blocks)), 'utf-8')
        for file in FILES[name]: shutil.copy(SITE/file, folder/'_static')
    return folder

@pytest.fixture
def opened(seeded_tab, folder):
    "Opens a page; at the end, no error may have been logged and nothing else asked for."
    files = set()
    def open_page(name):
        seeded_tab.goto((folder/f'{name}.html').as_uri())
        seeded_tab.locator('#play-tables table').first.wait_for()
        files.update([f'{name}.html', *FILES[name]])
        return seeded_tab
    with quiet(seeded_tab, f'{folder.as_uri()}/', files): yield open_page

def number(text): return float(text.replace('−', '-').replace('∞', 'inf').replace('+ ', ''))
def close(shown, want): return shown == want or abs(shown - want) <= .0005001
def text(page, name): return page.locator(f'#play-{name}').inner_text()
def field(page, name): return page.get_by_label(name, exact=True)

def shown(page):
    "{name: (value, gradient)} of all cells, as text."
    return page.evaluate("""() => Object.fromEntries([...document.querySelectorAll('[data-cell]')]
        .map(c => [c.dataset.cell, [...c.children].slice(0, 2).map(e => e.value ?? '')
            .map((v, i) => v || c.children[i].textContent)]))""")

def named(tables):
    "{name: number} of {key: table}."
    return {key if x.numel() == 1 else f'{key}[{i},{j}]': x[i,j].item()
            for key,x in tables.items() for i in range(x.shape[0]) for j in range(x.shape[1])}

def state(page, name):
    "What is set, read off the fields and switches."
    s = page.evaluate('structuredClone(play.START)')
    def on(key): return page.locator(f'#play-{key}').is_checked()
    if name == 'attention': s |= {k: on(k) for k in ('mask', 'scale')}
    else: s['padding'] = int(on('padding'))
    fields = page.locator('#play-tables input').evaluate_all(
        'l => l.map(e => [e.ariaLabel, e.valueAsNumber])')
    for key in [k for k in s if isinstance(s[k], list)]:
        mine = [x for n,x in fields if n.split('[')[0] == key]
        width = len(s[key][0]) if key != 'out.g' or name != 'conv' else math.isqrt(len(mine))
        s[key] = [mine[i:i + width] for i in range(0, len(mine), width)]
    return s

def assert_shows(page, name, s=None):
    "Every cell, the loss and the sums beside the tables are those of the state, by the package."
    values, grads, loss = MODEL[name](s or state(page, name))
    want, want_g, see = named(values), named(grads), shown(page)
    assert see.keys() == want.keys()
    for n,(value,grad) in see.items():
        assert close(number(value), want[n]), (n, value, want[n])
        assert close(number(grad), want_g[n]), (n, grad, want_g[n])
        if abs(want_g[n]) > 1e-9: assert grad != '0', n
    assert math.isclose(number(text(page, 'loss')[4:]), loss, rel_tol=6e-4, abs_tol=1e-9)

# ---- tests of both

@pytest.mark.parametrize('name', TEXTS)
def test_sums_are_the_packages(opened, name):
    page, rng = opened(name), random.Random(0)
    states = [some_state(name, rng) for _ in range(100)]
    theirs = page.evaluate('states => states.map(s => [play.forward(s), play.backward(s)])', states)
    for s,(got,got_g) in zip(states, theirs):
        values, grads, loss = MODEL[name](s)
        got = {k: v for k,v in got.items() if k != 'Z'}  # -inf is not carried over
        assert math.isclose(got['L'], loss, rel_tol=1e-11, abs_tol=1e-12)
        for k in values.keys() - {'Z'}: assert_close(t(got[k]), values[k], rtol=1e-11, atol=1e-12)
        for k in grads: assert_close(t(got_g[k]), grads[k], rtol=1e-10, atol=1e-12)

@pytest.mark.parametrize('name', TEXTS)
def test_shows_the_right_numbers(opened, name):
    page = opened(name)
    assert_shows(page, name, page.evaluate('play.START'))
    for switch in page.locator('#play input[type=checkbox]').all():
        switch.press('Space')
        assert_shows(page, name)
        page.click('#play-random')
        assert_shows(page, name)
    page.click('#play-clear')
    assert_shows(page, name)
    assert {g for _,g in shown(page).values()} == {'0'} and text(page, 'loss') == 'L = 0'
    page.click('#play-reset')
    assert_shows(page, name, page.evaluate('play.START'))

@pytest.mark.parametrize('name', TEXTS)
def test_what_is_heard(opened, name):
    "The loss after a press; both numbers at the slider have a name, and each place has its own."
    page = opened(name)
    page.click('#play-random')
    said = page.get_by_role('status').all_inner_texts()
    assert text(page, 'loss') in said and text(page, 'grad') in said
    for what in 'value', 'gradient':
        assert page.locator(f'#play .wiggle output[aria-label="its {what}"]').count() == 1
    assert page.get_by_role('region', name='Written out').count() == 1

FIELDS = {'attention': ['q[2,0]', 'k[0,1]', 'v[3,1]', 'out.g[1,0]'],
          'conv': ['x[0,5]', 'w[2,0]', 'b', 'out.g[3,1]']}

@pytest.mark.parametrize('name, n', [(k, n) for k,ns in FIELDS.items() for n in ns])
def test_keyboard(opened, name, n):
    "Arrow keys, typing, and the slider move the same number; it is chosen."
    page = opened(name)
    before, own = float(field(page, n).input_value()), n.replace('.g', '')
    for _ in range(3): field(page, n).press('ArrowUp')
    assert float(field(page, n).input_value()) == round(before + .3, 1)
    assert_shows(page, name)
    assert text(page, 'pushed') == own and text(page, 'name') == n
    slider = page.locator('#play-wiggle')
    for _ in range(7): slider.press('ArrowLeft')
    assert float(field(page, n).input_value()) == round(before - .4, 1)
    assert number(slider.get_attribute('aria-valuetext')) == round(before - .4, 1)
    assert_shows(page, name)
    field(page, n).fill('-1.25')
    assert_shows(page, name)
    field(page, n).fill('')  # not a number yet: the last one stands
    assert close(number(shown(page)[own]['.g' in n] or '-1.25'), -1.25)

@pytest.mark.parametrize('name', TEXTS)
def test_arrows_walk_over_what_is_computed(opened, name):
    page = opened(name)
    cell = page.locator('[data-cell="out[1,0]"] button')
    cell.click()
    for key,at in ('ArrowRight', '1,1'), ('ArrowDown', '2,1'), ('ArrowLeft', '2,0'), \
                  ('ArrowLeft', '2,0'), ('ArrowUp', '1,0'):
        page.keyboard.press(key)
        assert text(page, 'pushed') == f'out[{at}]'
    stops = page.locator('[data-table=out] button[tabindex="0"]')
    assert stops.count() == 1 and stops.first.get_attribute('aria-label').startswith('out[1,0] is ')

def terms(page):
    "The rows of the sum: [what, numbers, product], and [of what, total]."
    rows = page.locator('#play-terms tr').evaluate_all('l => l.map(r => [...r.cells].map('
                                                       'c => c.textContent))')
    return rows[:-1], rows[-1]

NAME = r'[A-Za-z]+(?:\.g)?\[\d,\d\]'

def assert_proof(page, name, n):
    "The sum is made of what it names, and both it and the finite difference are the gradient."
    values, grads, _ = MODEL[name](state(page, name))
    know = named(values) | {k.replace('[', '.g[') if '[' in k else f'{k}.g': g
                            for k,g in named(grads).items()}
    rows, (of, total) = terms(page)
    want = n if n.startswith('out') else n.replace('[', '.g[') if '[' in n else f'{n}.g'
    assert of == want and total.startswith('= ')
    assert math.isclose(number(total[2:]), know[of], rel_tol=6e-4, abs_tol=1e-9)
    for what,said,product in rows:
        said = said.replace(' / √2', ' · 0.70710678')
        factors = [number(x.strip('() ')) for x in said.split(' · ')]
        assert math.isclose(number(product), math.prod(factors), rel_tol=4e-3, abs_tol=1e-9)
        for label,x in zip(re.split(r' · | / ', what), factors):
            if not re.fullmatch(NAME, label): continue
            assert math.isclose(x, know[label], rel_tol=6e-4, abs_tol=1e-9)
    parts = [number(p) for *_,p in rows]
    assert math.isclose(sum(parts), know[of], rel_tol=4e-3, abs_tol=.001*max(map(abs, [1, *parts])))
    g = named(grads)[n]
    assert math.isclose(number(text(page, 'exact')), g, rel_tol=1e-8, abs_tol=1e-12)
    assert math.isclose(number(text(page, 'slope')), g, rel_tol=1e-4, abs_tol=1e-5)
    lit = page.locator('#play-tables .lit').count()
    assert lit == len(set(re.findall(NAME, ' '.join(what for what,*_ in rows))))

CHOSEN = {'attention': 'q[0,1] k[1,0] v[2,1] Z[3,1] Z[1,2] A[2,0] A[0,3] out[2,1]'.split(),
          'conv': 'x[0,0] x[3,2] x[5,5] w[0,0] w[2,1] b out[0,3] out[2,2]'.split()}

@pytest.mark.parametrize('name', TEXTS)
def test_the_sum_and_the_finite_difference(opened, name):
    page = opened(name)
    switches = page.locator('#play input[type=checkbox]')
    for k in range(3):
        for n in CHOSEN[name]:
            page.locator(f'[data-cell="{n}"] .value').click()
            assert_proof(page, name, n)
        if k < switches.count(): switches.nth(k).press('Space')
        page.click('#play-random')

@pytest.mark.parametrize('name', TEXTS)
def test_a_pointer_shows_before_it_chooses(opened, name):
    page = opened(name)
    def lit(): return page.locator('#play-tables .lit').evaluate_all(
        'l => l.map(e => e.parentElement.dataset.cell + e.className)')
    before, was = lit(), text(page, 'pushed')
    page.locator('[data-cell="out[0,0]"]').hover()
    assert lit() != before and text(page, 'pushed') == was
    page.locator('#play-loss').hover()
    assert lit() == before

@pytest.mark.parametrize('name', TEXTS)
@pytest.mark.parametrize('width', [360, 390, 1280])
def test_fits_its_page(opened, name, width):
    page = opened(name)
    page.set_viewport_size({'width': width, 'height': 800})
    for switch in page.locator('#play input[type=checkbox]').all(): switch.press('Space')
    page.click('#play-random')
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    small = page.evaluate("""Math.min(...[...document.querySelectorAll('#play *')].filter(
        e => !(e instanceof SVGElement) && e.textContent + (e.value ?? '')).map(
        e => parseFloat(getComputedStyle(e).fontSize)))""")
    assert small >= 11
    scale = page.evaluate("""[...document.querySelectorAll('#play svg')].map(
        e => e.getBoundingClientRect().width / 6.8)""")
    assert all(.25 * unit >= 11 for unit in scale)
    cut = page.locator('#play-tables button, #play-tables span').evaluate_all(
        'l => l.filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)')
    assert not cut

# ---- attention

def test_laws_and_mask(opened):
    "Sums beside the tables; a pair that is masked gets exactly 0."
    page = opened('attention')
    for k in range(3):
        if k: page.click('#play-random')
        sums = page.locator('[data-table=Z] .extra .grad, [data-table=k] .extra .grad')
        assert sums.all_inner_texts() == ['0']*6
        s = state(page, 'attention')
        values, grads, _ = attended(s)
        beside = page.locator('[data-table=A] td.extra').evaluate_all(
            'l => l.map(c => [...c.children].map(e => e.textContent))')
        r = (t(s['out.g']) * values['out']).sum(1).tolist()
        for (one,mean),want in zip(beside, r): assert one == '1' and close(number(mean), want)
        see = shown(page)
        for i in range(4):
            for j in range(i + 1, 4):
                assert see[f'Z[{i},{j}]'] == ['−∞', '0'] and see[f'A[{i},{j}]'][0] == '0'
                assert grads['Z'][i,j] == 0
        assert page.locator('#play-tables .masked').count() == 6
    page.locator('#play-mask').press('Space')
    assert page.locator('#play-tables .masked').count() == 0
    assert '−∞' not in page.locator('#play-tables').inner_text()

def test_points_can_be_dragged(opened):
    page = opened('attention')
    for svg,drag,to in ('qk', 'q 2', (-1.3, 1.7)), ('qk', 'k 0', (9, -1)), ('vo', 'v 1', (.5, -2)):
        box = page.locator(f'#play-{svg}').bounding_box()
        hit = page.locator(f'[data-drag="{drag}"] .hit').bounding_box()
        page.mouse.move(hit['x'] + hit['width']/2, hit['y'] + hit['height']/2)
        page.mouse.down()
        unit = box['width']/6.8
        page.mouse.move(box['x'] + (3.4 + to[0])*unit, box['y'] + (3.4 - to[1])*unit, steps=3)
        page.mouse.up()
        page.mouse.move(box['x'] + 5, box['y'] + 5)  # it has let go
        key, i = drag.split()
        assert state(page, 'attention')[key][int(i)] == [min(3, to[0]), to[1]]
        assert text(page, 'pushed') == f'{key}[{i},0]'
        assert_shows(page, 'attention')

def test_a_finger_drags_a_point_and_not_the_page(opened):
    page = opened('attention')
    page.set_viewport_size({'width': 390, 'height': 700})
    hit = page.locator('[data-drag="q 2"] .hit').bounding_box()
    x, y = hit['x'] + hit['width']/2, hit['y'] + hit['height']/2
    unit = page.locator('#play-qk').bounding_box()['width']/6.8
    cdp = page.context.new_cdp_session(page)
    def touch(kind, *at):
        points = [{'x': at[0], 'y': at[1]}] if at else []
        cdp.send('Input.dispatchTouchEvent', {'type': f'touch{kind}', 'touchPoints': points})
    cdp.send('Emulation.setTouchEmulationEnabled', {'enabled': True})
    touch('Start', x, y)
    for k in range(1, 6): touch('Move', x - .4*k*unit, y - .2*k*unit)
    touch('End')
    page.wait_for_function("play.START.q[2][0] - document.querySelector("
                           "'[aria-label=\"q[2,0]\"]').valueAsNumber > 1.95")
    cdp.send('Emulation.setTouchEmulationEnabled', {'enabled': False})
    assert state(page, 'attention')['q'][2] == [-1.5, 2] and text(page, 'pushed') == 'q[2,0]'
    assert page.evaluate('scrollY') == 0
    assert_shows(page, 'attention')

def test_the_drawn_row_is_that_of_the_chosen_number(opened):
    page = opened('attention')
    for n,row in ('A[1,0]', '1'), ('k[3,0]', '1'), ('out[3,1]', '3'), ('q[0,0]', '0'):
        page.locator(f'[data-cell="{n}"] .value').click()
        assert text(page, 'row') == row
        assert page.locator(f'#play-qk [data-drag="q {row}"]').count() == 1
        width = page.locator('#play-vo .weight').evaluate_all(
            'l => l.map(e => e.style.strokeWidth)')
        A = attended(state(page, 'attention'))[0]['A'][int(row)]
        assert_close(t([float(w or 0) for w in width])/.22, A, rtol=1e-3, atol=1e-4)

def test_five_things_to_try_with_attention(opened):
    "What the page promises comes about, with the numbers that it tells."
    page, see = opened('attention'), lambda n, k: number(shown(page)[n][k])
    def said(k, *numbers):
        assert {round(x, 3) for x in numbers} <= {round(x, 3) for x in told('attention', k)}
    def loss(): return number(text(page, 'loss')[4:])
    values, grads, _ = attended(page.evaluate('play.START'))
    assert values['A'][2].argmax() == 0 and grads['A'][2].argmin() == 1
    said(1, see('A[2,0]', 0), see('A[2,1]', 0), loss())
    to = (values['q'] - grads['q'])[2]
    assert_close(to, t([-1.3, 1.7]), rtol=0, atol=.05)
    field(page, 'q[2,0]').fill('-1.3'); field(page, 'q[2,1]').fill('1.7')
    said(1, -1.3, 1.7, see('A[2,1]', 0), loss())

    page.click('#play-reset')
    assert {see(n, 1) for n in shown(page) if n[:3] in ('Z[0', 'q[0')} == {0}

    said(3, see('A[1,3]', 1), round(grads['v'][3,0].item(), 4))
    assert see('A[1,3]', 0) == see('Z[1,3]', 1) == 0
    page.locator('[data-cell="v[3,0]"] .value').click()
    assert sum(p != '+ 0' and p != '0' for *_,p in terms(page)[0]) == 1
    page.locator('#play-mask').press('Space')
    said(3, see('Z[1,3]', 1))
    assert sum(p != '+ 0' and p != '0' for *_,p in terms(page)[0]) == 4

    page.click('#play-reset')
    before = {n: g for n,(_,g) in shown(page).items()}
    field(page, 'v[0,0]').fill('0.5')
    changed = {n[0] for n,(_,g) in shown(page).items() if g != before[n]}
    assert changed == {'A', 'Z', 'q', 'k'}

    page.click('#play-reset')
    said(5, see('A[3,3]', 0), see('Z[3,2]', 1), see('A[3,3]', 1), see('A[3,2]', 1))
    field(page, 'q[3,0]').fill('-3'); field(page, 'q[3,1]').fill('-3')
    said(5, see('A[3,3]', 0))
    page.locator('#play-scale').press('Space')
    said(5, see('A[3,3]', 0), see('Z[3,2]', 1))

# ---- convolution

def tags(page, key):
    "{(row, column): the name written in the cell}"
    found = page.locator(f'[data-table={key}] [data-cell]').evaluate_all(
        "l => l.map(c => [c.dataset.cell, c.querySelector('.tag').textContent])")
    return {tuple(map(int, re.findall(r'\d', n))): tag for n,tag in found if tag}

@pytest.mark.parametrize('padding', [0, 1])
def test_names_stand_on_what_they_touch(opened, padding):
    "Upright in an output's window, turned on the outputs of a pixel, as autograd has it."
    page = opened('conv')
    if padding: page.locator('#play-padding').press('Space')
    size = 4 + 2*padding
    counted = torch.arange(1., 10).view(1, 1, 3, 3)  # w[u,v] is 3u + v + 1
    J = torch.autograd.functional.jacobian(
        lambda x: torch.conv2d(x, counted, None, 1, padding)[0,0], torch.zeros(1, 1, 6, 6))[:,:,0,0]
    for r,c in (0, 0), (2, 3), (5, 4):
        page.locator(f'[data-cell="x[{r},{c}]"] .value').click()
        want = {(p, q): f'w[{int(k)//3},{int(k)%3}]' for p in range(size) for q in range(size)
                if (k := J[p,q,r,c].item() - 1) >= 0}
        assert tags(page, 'out') == want and not tags(page, 'x')
    for p,q in (0, 0), (1, 2), (size - 1, size - 2):
        page.locator(f'[data-cell="out[{p},{q}]"] .value').click()
        want = {(r, c): f'w[{int(k)//3},{int(k)%3}]' for r in range(6) for c in range(6)
                if (k := J[p,q,r,c].item() - 1) >= 0}
        assert tags(page, 'x') == want and not tags(page, 'out')

def test_padding_there_and_back(opened):
    "What has arrived for an output stays with it."
    page = opened('conv')
    was = state(page, 'conv')['out.g']
    page.locator('#play-padding').press('Space')
    field(page, 'out.g[0,0]').fill('2.5'); field(page, 'out.g[1,1]').fill('-2')
    inner = [row[1:-1] for row in state(page, 'conv')['out.g'][1:-1]]
    assert inner == [[-2, *was[0][1:]], *was[1:]]
    page.locator('[data-cell="out[5,5]"] .value').click()
    page.locator('#play-padding').press('Space')  # the chosen one is gone
    assert state(page, 'conv')['out.g'] == inner and text(page, 'pushed') == 'x[2,2]'
    page.locator('#play-padding').press('Space')
    assert state(page, 'conv')['out.g'][0][0] == 2.5
    assert_shows(page, 'conv')

def test_all_that_has_arrived_goes_to_0(opened):
    "What waits in the border for its place, too."
    page = opened('conv')
    page.click('#play-clear')
    page.locator('#play-padding').press('Space')
    assert {x for row in state(page, 'conv')['out.g'] for x in row} == {0}
    assert text(page, 'loss') == 'L = 0'
    page.click('#play-reset')
    page.locator('#play-padding').press('Space')
    assert state(page, 'conv')['out.g'][0][0] == -2

@pytest.mark.parametrize('name', ['play', 'play_attention', 'play_conv'])
def test_going_back_leaves_no_control_as_it_was(name):
    "The page starts anew then, and a browser would fill in what stood there, but for this."
    text = (SITE/f'{name}.md').read_text('utf-8')
    controls = re.findall(r'<(?:select|input)\b.*?>', text)
    assert controls and [c for c in controls if 'autocomplete="off"' not in c] == []

def test_five_things_to_try_with_convolution(opened):
    "What the page promises comes about, with the numbers that it tells."
    page, see = opened('conv'), lambda n, k=1: number(shown(page)[n][k])
    def click(n): page.locator(f'[data-cell="{n}"] .value').click()
    def touched(n): click(n); return len(tags(page, 'out'))
    pixels = 'x[0,0]', 'x[0,2]', 'x[2,2]'
    assert [touched(n) for n in pixels] == [1, 3, 9]
    page.locator('#play-padding').press('Space')
    assert [touched(n) for n in pixels] == [4, 6, 9] and {1, 3, 9, 4, 6} <= told('conv', 1)

    page.click('#play-reset')
    click('out[1,1]')
    assert tags(page, 'x')[1,1] == 'w[0,0]' == min(tags(page, 'x').items())[1]
    click('x[2,2]')
    turned = sorted(tags(page, 'out').items())
    assert turned[0][1] == 'w[2,2]' and turned[-1][1] == 'w[0,0]'

    page.click('#play-clear')
    field(page, 'out.g[1,1]').fill('1')
    s = state(page, 'conv')
    grad = [[see(f'x[{r},{c}]') for c in range(6)] for r in range(6)]
    assert [row[1:4] for row in grad[1:4]] == s['w'] and s['w'][0] == [1, 2, 0]
    assert sum(map(abs, sum(grad, []))) == sum(map(abs, sum(s['w'], [])))
    field(page, 'out.g[1,2]').fill('1')
    assert see('x[1,2]') == 3 and 3 in told('conv', 3)

    page.click('#play-reset')
    click('w[0,0]')
    rows, (_, total) = terms(page)
    assert len(rows) == 16 and number(total[2:]) == 4 and {16, 4} <= told('conv', 4)
    assert not [what for what,*_ in rows if re.search(r'x\[([45],|\d,[45])', what)]
    before = see('w[0,0]'), see('w[2,0]')
    field(page, 'x[5,2]').fill('3')
    assert see('w[0,0]') == before[0] and see('w[2,0]') != before[1]

    page.click('#play-reset')
    assert see('b') in told('conv', 5)
    page.click('#play-random')
    before = see('b')
    for n in ('x[2,2]', 'w[1,1]'): field(page, n).fill('2.9')
    assert see('b') == before
