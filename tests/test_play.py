"""The page to play with, in a real browser: its sums are the package's, and it shows what it sums.

The browser opens the page's own block of HTML, so that no site needs to be built for this."""
import math, random, re, shutil
import pytest, torch
from torch.testing import assert_close
from backprop_nb.gradcheck import numeric_grad
from backprop_nb.network import forward_and_backward
from backprop_nb.training import SGD
from run_course import ROOT

SITE = ROOT/'site'
NAMES = 'x[0] x[1] y w1[0,0] w1[0,1] w1[1,0] w1[1,1] b1[0] b1[1] w2[0] w2[1] b2'.split()
PARAMS = 'w1', 'b1', 'w2', 'b2'
TEXT = (SITE/'play.md').read_text('utf-8')
THINGS = [''] + re.split(r'^\d\. ', TEXT, flags=re.M)[1:]  # to try: number 1 is THINGS[1]

def told(k): return {float(x) for x in re.findall(r'-?\d+(?:\.\d+)?', THINGS[k])}

# ---- the package's side: a network as plain numbers, and all that can be said about it

def tensors(net):
    "The network's numbers as the package takes them: one example, one output."
    t = {k: torch.tensor(v, dtype=torch.float64) for k,v in net.items()}
    return {'x': t['x'][None], 'y': t['y'][None], 'w1': t['w1'], 'b1': t['b1'],
            'w2': t['w2'][:,None], 'b2': t['b2'][None]}

def gradients(net):
    "Loss and gradients by the package, in the shapes of `net`."
    t = tensors(net)
    loss = forward_and_backward(*[t[k] for k in ('x', 'y', *PARAMS)])
    g = {k: t[k].g for k in ('x', *PARAMS)}
    g = {'x': g['x'][0], 'w1': g['w1'], 'b1': g['b1'], 'w2': g['w2'][:,0], 'b2': g['b2'][0]}
    return loss.item(), {k: v.tolist() for k,v in g.items()} | {'y': -g['b2'].item()}

def loss_of(net): return gradients(net)[0]

def inner(net):
    "z1, a and z2, with their gradients read off those of biases and weights."
    t = tensors(net)
    z1 = t['x'] @ t['w1'] + t['b1']
    return z1[0].tolist(), z1.relu()[0].tolist(), (z1.relu() @ t['w2'] + t['b2']).item()

def get(net, name):
    key, *at = re.findall(r'\w+', name)
    for i in map(int, at): net = {key: net[key][i]}
    return net[key]

def put(net, name, value):
    "A copy of `net` with another number under `name`."
    key, *at = re.findall(r'\w+', name)
    if not at: return net | {key: value}
    if len(at) == 1: return net | {key: [value if i == int(at[0]) else v
                                         for i,v in enumerate(net[key])]}
    rows = [list(r) for r in net[key]]
    rows[int(at[0])][int(at[1])] = value
    return net | {key: rows}

def slope(net, name, h):
    "The package's finite difference for one number, with step `h`."
    at = torch.tensor(get(net, name), dtype=torch.float64)
    f = lambda v: torch.tensor(loss_of(put(net, name, v.item())), dtype=torch.float64)
    return numeric_grad(f, at, h/max(1, abs(at.item()))).item()

def arrows(net):
    "Value and gradient on every arrow of the drawing."
    z1, a, z2 = inner(net)
    loss, g = gradients(net)
    a_g = [w*g['b2'] for w in net['w2']]
    on = {f'{n} z1[{k}]': (get(net, n), get(g, n)) for k in range(2)
          for n in (f'w1[0,{k}]', f'w1[1,{k}]', f'b1[{k}]')}
    on |= {f'x[{j}] z1[{k}]': (net['x'][j], net['w1'][j][k]*g['b1'][k])
           for j in range(2) for k in range(2)}
    for k in range(2):
        on |= {f'z1[{k}] a[{k}]': (z1[k], g['b1'][k]), f'a[{k}] z2': (a[k], a_g[k]),
               f'w2[{k}] z2': (net['w2'][k], g['w2'][k])}
    return on | {'b2 z2': (net['b2'], g['b2']), 'z2 L': (z2, g['b2']), 'y L': (net['y'], g['y']),
                 'L end': (loss, 1.)}

# ---- the page's side

@pytest.fixture(scope='module')
def address(tmp_path_factory):
    "The page's block of HTML in a page of its own, beside the files that it asks for."
    blocks = re.findall(r'```\{raw\} html\n(.*?)```', TEXT, re.S)
    folder = tmp_path_factory.mktemp('play')
    (folder/'play.html').write_text('<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>play</title><body>'
        '<link rel="icon" href="data:,">' + '\n'.join(blocks), 'utf-8')
    (folder/'_static').mkdir()
    for file in ('play.js', 'play.css'): shutil.copy(SITE/'_static'/file, folder/'_static')
    return (folder/'play.html').as_uri()

SEEDED = '{let s = 7; Math.random = () => (s = s*16807 % 2147483647) / 2147483647}'

@pytest.fixture(scope='module')
def tab(chromium):
    tab = chromium.new_page()
    tab.add_init_script(SEEDED)
    yield tab
    tab.close()

@pytest.fixture
def page(tab, address):
    "The page as it opens; at the end, no error may have been logged and nothing else asked for."
    said, asked = [], []
    hear = {'console': lambda m: said.append(m.text), 'pageerror': lambda e: said.append(str(e)),
            'request': lambda r: asked.append(r.url)}
    for event,f in hear.items(): tab.on(event, f)
    tab.set_viewport_size({'width': 1280, 'height': 900})
    tab.goto(address)
    tab.locator('#play-graph svg').wait_for()
    yield tab
    for event,f in hear.items(): tab.remove_listener(event, f)
    home = address.removesuffix('play.html')
    assert not said
    files = {a.removeprefix(home) for a in asked}
    assert files == {'play.html', '_static/play.js', '_static/play.css'}

def number(text): return float(text.replace('−', '-'))
def near(shown, want, digits=4):
    return math.isclose(number(shown), want, rel_tol=.6 * 10**(1 - digits), abs_tol=1e-12)
def one(page, name): return page.locator(f'[id="play-{name}"]')
def text(page, name): return one(page, name).inner_text()

def start(page): return page.evaluate('play.START')
def shown(page):
    "Every number on the page: the loss, beside the sliders, on the arrows."
    return page.evaluate("""() => ({
        loss: document.getElementById('play-loss').textContent,
        rows: Object.fromEntries([...document.querySelectorAll('#play-rows .number')].map(row => [
            row.querySelector('label').textContent,
            [...row.querySelectorAll('output')].map(o => o.textContent)])),
        arrows: [...document.querySelectorAll('#play-graph .arrow')].map(a => [a.dataset.arrow,
            a.querySelector('.value').textContent, a.querySelector('.grad').textContent])})""")

def assert_shows(page, net):
    "Loss, rows, arrows and closed boxes are those of `net`, by the package."
    loss, g = gradients(net)
    see = shown(page)
    assert near(see['loss'].removeprefix('L = '), loss)
    assert see['rows'].keys() == set(NAMES)
    for name,(value,grad) in see['rows'].items():
        assert near(value, get(net, name)) and near(grad, get(g, name)), (name, value, grad, net)
    want, seen = arrows(net), {}
    for arrow,value,grad in see['arrows']:
        arrow = arrow.replace('again ', '')
        if arrow in ('a[0] end a[0]', 'a[1] end a[1]'): arrow = arrow[:4] + ' z2'
        assert near(value, want[arrow][0], 3), (arrow, value)
        assert near(grad, want[arrow][1], 3), (arrow, grad)
        seen[arrow] = 1
    assert seen.keys() == want.keys()
    closed = page.locator('#play-graph .closed').evaluate_all('l => l.map(e => e.dataset.box)')
    assert sorted(closed) == [f'a[{k}]' for k,z in enumerate(inner(net)[0]) if z <= 0]

def random_net(page):
    "Press Random and read what the sliders got, which is exact: tenths."
    page.click('#play-random')
    rows, net = shown(page)['rows'], start(page)
    for name in NAMES: net = put(net, name, number(rows[name][0]))
    return net

# ---- tests

def test_sums_are_the_packages(page):
    rng = random.Random(0)
    nets, r = [], lambda *shape: ([r(*shape[1:]) for _ in range(shape[0])] if shape
                                  else rng.gauss(0, 1))
    for _ in range(200):
        d, m = rng.randint(1, 4), rng.randint(1, 4)
        nets.append({'x': r(d), 'y': r(), 'w1': r(d, m), 'b1': r(m), 'w2': r(m), 'b2': r()})
    theirs = page.evaluate('nets => nets.map(n => [play.forward(n), play.backward(n)])', nets)
    shut = 0
    for net,(values,got) in zip(nets, theirs):
        loss, want = gradients(net)
        for mine,yours in [(values['L'], loss)] + [(got[k], want[k]) for k in want]:
            a, b = [torch.tensor(v, dtype=torch.float64) for v in (mine, yours)]
            assert_close(a, b, rtol=1e-12, atol=1e-13)
        shut += sum(z <= 0 for z in values['z1'])
    assert 100 < shut < 400, 'closed units and open ones are tried'

def test_gradient_is_0_on_the_kink(page):
    net = put(start(page), 'b1[1]', -.5)
    assert inner(net)[0][1] == 0
    assert page.evaluate('n => play.backward(n)', net)['b1'][1] == gradients(net)[1]['b1'][1] == 0

def test_opens_with_the_right_numbers(page): assert_shows(page, start(page))

@pytest.mark.parametrize('name', NAMES)
def test_slider_by_keyboard(page, name):
    before = get(start(page), name)
    slider = page.get_by_label(name, exact=True)
    for _ in range(3): slider.press('ArrowRight')
    assert_shows(page, put(start(page), name, round(before + .3, 1)))
    for _ in range(12): slider.press('ArrowLeft')
    assert_shows(page, put(start(page), name, round(before - .9, 1)))
    assert one(page, 'choose').input_value() == name, 'what is touched is chosen'
    assert number(slider.get_attribute('aria-valuetext')) == round(before - .9, 1)

def test_step_is_sgd(page):
    for _ in range(3): one(page, 'lr').press('ArrowRight')
    assert text(page, 'value-lr') == '0.04'
    net, losses = start(page), []
    t = tensors(net)
    opt = SGD([t[k] for k in PARAMS], lr=.04)
    for n in range(4):
        losses.append(forward_and_backward(*[t[k] for k in ('x', 'y', *PARAMS)]).item())
        opt.step()
        page.get_by_role('button', name='One gradient step').press('Enter')
        net |= {'w1': t['w1'].tolist(), 'b1': t['b1'].tolist(), 'w2': t['w2'][:,0].tolist(),
                'b2': t['b2'].item()}
        assert_shows(page, net)
    said = text(page, 'steps')
    told = re.findall(r'[\d.e−+]+\d', said.split(' L ')[1])
    assert said.startswith('Step 4:') and len(told) == 5 and 'rose' not in said
    assert all(near(a, b) for a,b in zip(told, losses + [loss_of(net)]))

def test_steps_and_reset(page):
    for _ in range(9): one(page, 'lr').press('ArrowRight')
    net, rose = start(page), set()
    for _ in range(2):
        before, net = loss_of(net), page.evaluate('n => play.step(n, 0.1)', net)
        page.click('#play-step')
        assert near(text(page, 'loss').removeprefix('L = '), loss_of(net))
        assert ('The loss rose' in text(page, 'steps')) == (loss_of(net) > before)
        rose.add(loss_of(net) > before)
    assert rose == {True, False}, 'both are tried'
    page.click('#play-reset')
    assert_shows(page, start(page))
    assert text(page, 'steps') == 'No step taken yet.'

def test_sliders_follow_a_step(page):
    "A slider snaps to tenths, the number does not; the next key starts from the slider."
    page.click('#play-step')
    slider, value = one(page, 'b2'), page.evaluate('play.step(play.START, 0.01).b2')
    at = float(slider.input_value())
    assert near(text(page, 'value-b2'), value) and at == round(value, 1) != value
    slider.press('ArrowRight')
    assert near(text(page, 'value-b2'), at + .1)

def assert_chain(page, net, name):
    "The tables of the chain: each factor is what it says it is, products and their sum are right."
    z1, a, z2 = inner(net)
    values = net | {'z1': z1, 'a': a}
    says = {'2 (z2 − y)': 2*(z2 - net['y']), '−2 (z2 − y)': -2*(z2 - net['y']), '1': 1.}
    says |= {f'1, as z1[{k}] > 0': 1. for k in range(2) if z1[k] > 0}
    says |= {f'0, as z1[{k}] ≤ 0': 0. for k in range(2) if z1[k] <= 0}
    tables = page.locator('#play-chain table').evaluate_all("""l => l.map(t => [...t.rows].map(r =>
        [...r.cells].map(c => c.textContent)))""")
    assert len(tables) == (2 if name[0] == 'x' else 1)
    products, through = [], set()
    for *factors, (written, product) in tables:
        ends = [re.fullmatch(r'∂(.+)/∂(.+)', rate).groups() for rate,_,_ in factors]
        assert ends[0][0] == 'L' and ends[-1][1] == name
        assert all(p[1] == q[0] for p,q in zip(ends, ends[1:])), 'a factor is missing'
        through.add(str(ends))
        for _,formula,value in factors:
            want = says[formula] if formula in says else get(values, formula)
            assert near(value, want), (formula, value, want)
        numbers = [number(value) for *_,value in factors]
        assert [number(n.strip('()=≈ ')) for n in written.split(' · ')] == numbers
        assert math.isclose(number(product), math.prod(numbers), rel_tol=4e-3, abs_tol=1e-12)
        products.append(number(product))
    assert len(through) == len(tables)
    total = text(page, 'total')
    assert total.startswith(f'∂L/∂{name} = ')
    g = get(gradients(net)[1], name)
    assert near(re.split('[=≈] ', total)[-1], g)
    assert math.isclose(sum(products), g, rel_tol=4e-3, abs_tol=.001 * max(map(abs, products)))
    notes = page.locator('#play-chain .note').all_inner_texts()
    gates = [f for t in tables for _,f,*_ in t[:-1] if ', as z1' in f]
    assert notes == ['0: the rectifier is closed'] * sum(f[0] == '0' for f in gates)

@pytest.mark.parametrize('moves', range(4))
def test_chain_of_products(page, moves):
    net = start(page)
    for _ in range(moves): net = random_net(page)
    if moves == 3: net = put(net, 'b1[0]', -3.); one(page, 'b1[0]').fill('-3')
    for name in NAMES:
        one(page, 'choose').select_option(name)
        assert_chain(page, net, name)

def test_sums_are_marked_as_rounded(page):
    "With the short numbers of the start all is exact; after a step it is not."
    one(page, 'choose').select_option('x[0]')
    assert '≈' not in text(page, 'chain')
    page.click('#play-step')
    assert '≈' in text(page, 'chain')

@pytest.mark.parametrize('h', ['1', '0.3', '0.001', '1e-5'])
def test_finite_difference(page, h):
    one(page, 'h').select_option(h)
    for net in (start(page), None):
        net = net or random_net(page)
        for name in NAMES:
            one(page, 'choose').select_option(name)
            step, g, want = float(h), get(gradients(net)[1], name), slope(net, name, float(h))
            sides = [put(net, name, get(net, name) + s) for s in (step, -step)]
            for side,what in zip(sides, ('above', 'below')):
                assert near(text(page, what), loss_of(side), 11)
            assert near(text(page, 'product'), g, 11)
            shown = number(text(page, 'slope'))
            assert math.isclose(shown, want, rel_tol=1e-9, abs_tol=1e-14*loss_of(net)/step), name
            switched = [k for k in range(2) if len({inner(s)[0][k] > 0 for s in sides}) == 2]
            notes = page.locator('#play-kink .note').all_inner_texts()
            assert [n.split('unit ')[1][0] for n in notes] == [str(k) for k in switched]
            for n,k in zip(notes, switched):
                assert near(re.search(r'to ([\d.−e]+),', n)[1], inner(sides[0])[0][k])
            agree = text(page, 'agree')
            if not switched: assert 'agree' in agree
            if 'digits' in agree:
                digits = int(re.search(r'(\d+) digits', agree)[1])
                assert abs(shown - g) <= 10**-digits * max(abs(shown), abs(g)) * 1.1

def test_a_kink_spoils_the_difference(page):
    def digits(): return int(re.search(r'They agree in (\d+) digits', text(page, 'agree'))[1])
    one(page, 'choose').select_option('w1[0,0]')
    one(page, 'h').select_option('1')
    seen = {number(text(page, what)) for what in ('slope', 'product')}
    assert len(seen) == 2 and seen <= told(5) and 'They differ' in text(page, 'agree')
    one(page, 'h').select_option('0.3')
    assert text(page, 'kink') == '' and digits() > 10
    one(page, 'h').select_option('1e-8')
    assert 5 < digits() < 11, 'about half of them are lost'

def test_a_slider_chooses(page):
    "By focus, and by a move without it, as some browsers have it."
    one(page, 'y').focus()
    assert one(page, 'choose').input_value() == 'y'
    one(page, 'b2').evaluate("e => { e.value = 1; e.dispatchEvent(new Event('input')) }")
    assert one(page, 'choose').input_value() == 'b2' and text(page, 'value-b2') == '1'

def test_boxes_choose(page):
    "A click on a box chooses it, and lights every arrow on a way from it to the loss."
    def arrows(which=''):
        lit = page.locator(f'#play-graph .arrow{which}')
        return set(lit.evaluate_all('l => l.map(a => a.dataset.arrow)'))
    for box in ('x[1]', 'w2[0]', 'y', 'x[0]'):
        page.locator(f'[data-box="{box}"]').click()
        assert one(page, 'choose').input_value() == box
        ends, way = {box}, set()
        while more := {a for a in arrows() - way if a.split()[0] in ends}:
            way |= more
            ends |= {a.split()[1] for a in more}
        assert arrows('.on') == way and 'end' in ends

def test_five_things_to_try(page):
    "What the page promises under its five headings comes about, with the numbers that it tells."
    def grads(): return {n: number(g) for n,(_,g) in shown(page)['rows'].items()}
    weights = {n: abs(g) for n,g in grads().items() if n[0] in 'wb'}
    largest = max(weights, key=weights.get)
    assert f'`{largest}`' in THINGS[1] and weights[largest] in told(1)
    one(page, 'x[1]').fill('0')
    assert {n for n,g in grads().items() if g == 0} == {'w1[1,0]', 'w1[1,1]'}

    page.click('#play-reset')
    one(page, 'b1[1]').fill('-0.6')
    assert {n for n,g in grads().items() if g == 0} == {'w1[0,1]', 'w1[1,1]', 'b1[1]', 'w2[1]'}
    one(page, 'b1[0]').fill('-3')
    for _ in range(3): page.click('#play-step')
    assert {n for n,g in grads().items() if g != 0} == {'b2', 'y'}

    page.click('#play-reset')
    one(page, 'choose').select_option('x[0]')
    shares, total = [[number(x) for x in part.split(' + ')]
                     for part in text(page, 'total').split(' = ')[1:]]
    assert len(shares) == 2 and set(shares) <= told(3) and math.isclose(sum(shares), *total)
    one(page, 'w2[1]').fill('-0.5')
    one(page, 'choose').select_option('x[0]')
    assert -0.5 in told(3) and text(page, 'total').endswith(' = 0')

    page.click('#play-reset')
    for _ in range(5): page.click('#play-step')
    assert 'rose' not in text(page, 'steps')
    page.click('#play-reset')
    one(page, 'lr').fill('0.1')
    page.click('#play-step')
    assert 'rose' in text(page, 'steps')
    page.click('#play-step')
    assert page.locator('#play-graph .closed').count() == 2

@pytest.mark.parametrize('width', [360, 390, 768, 1280])
def test_fits_its_page(page, width):
    page.set_viewport_size({'width': width, 'height': 800})
    narrow = page.locator('[data-box="again a[0]"]')
    narrow.wait_for() if width < 600 else narrow.wait_for(state='detached')
    page.click('#play-step')
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    net = page.evaluate('play.step(play.START, 0.01)')
    assert_shows(page, net)
    small = page.locator('#play-graph text').evaluate_all(
        'l => Math.min(...l.map(t => t.getBoundingClientRect().height))')
    assert small > 9

def test_every_control_has_a_name(page):
    for kind in ('input', 'select', 'button'):
        for el in page.locator(f'#play {kind}').all():
            assert el.evaluate('e => (e.labels?.[0] ?? e).textContent.trim()')
    assert page.get_by_role('img', name='The network as a graph').count() == 1
    net = start(page)
    value, grad = get(net, 'w1[0,0]'), get(gradients(net)[1], 'w1[0,0]')
    says = f'w1[0,0] is {value:g}, gradient {grad:g};'.replace('-', '−')
    assert says in page.locator('#play-desc').text_content()
