"""The page to play with, in a real browser: its sums are the package's, and it shows what it sums.

The browser opens the page's own Markdown and HTML, so that no site needs to be built for this."""
import json, math, random, re, shutil
import pytest, torch
from markdown_it import MarkdownIt
from torch.testing import assert_close
from backprop_nb.gradcheck import numeric_grad
from backprop_nb.network import forward_and_backward
from backprop_nb.training import SGD
from conftest import PAGE, quiet
from run_course import ROOT
from test_site import audit

SITE = ROOT/'site'
NAMES = 'x[0] x[1] y w1[0,0] w1[0,1] w1[1,0] w1[1,1] b1[0] b1[1] w2[0] w2[1] b2'.split()
PARAMS = 'w1', 'b1', 'w2', 'b2'
BACK = 'L', 'z2', 'a[1]', 'a[0]', 'z1[1]', 'z1[0]'
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
    g = gradients(net)[1]
    on = {f'{n} z1[{k}]': (get(net, n), get(g, n)) for k in range(2)
          for n in (f'w1[0,{k}]', f'w1[1,{k}]', f'b1[{k}]')}
    on |= {f'x[{j}] z1[{k}]': (net['x'][j], net['w1'][j][k]*g['b1'][k])
           for j in range(2) for k in range(2)}
    for k in range(2):
        on |= {f'z1[{k}] a[{k}]': (z1[k], g['b1'][k]), f'w2[{k}] z2': (net['w2'][k], g['w2'][k]),
               f'a[{k}] z2': (a[k], net['w2'][k]*g['b2'])}
    return on | {'b2 z2': (net['b2'], g['b2']), 'z2 L': (z2, g['b2']), 'y L': (net['y'], g['y'])}

# ---- the page's side

FILES = 'play.html', *(f'_static/{f}' for f in ('play.js', 'play.css', 'course.css'))

@pytest.fixture(scope='module')
def address(tmp_path_factory):
    "The page, beside the files that it asks for."
    folder = tmp_path_factory.mktemp('play')
    text = re.sub(r'```\{raw\} html\n(.*?)```', lambda m: re.sub(r'\n\s*\n', '\n', m[1]), TEXT,
                  flags=re.S)
    parts = [MarkdownIt('commonmark', {'html': True}).render(part)
             for part in re.split('^(?=## Five)', text, flags=re.M)]
    (folder/'play.html').write_text(PAGE.format(
        f'<main style="padding: 0 1rem">{parts[0]}<section id="five-things-to-try">{parts[1]}'
        '</section></main>'), 'utf-8')
    (folder/'_static').mkdir()
    for file in FILES[1:]: shutil.copy(SITE/file, folder/'_static')
    return (folder/'play.html').as_uri()

@pytest.fixture
def page(seeded_tab, address):
    "The page as it opens; at the end, no error may have been logged and nothing else asked for."
    with quiet(seeded_tab, address.removesuffix('play.html'), FILES):
        seeded_tab.goto(address)
        seeded_tab.locator('#play-graph svg').wait_for()
        yield seeded_tab

def number(text): return float(text.replace('−', '-'))
def near(shown, want, digits=4):
    return math.isclose(number(shown), want, rel_tol=.6 * 10**(1 - digits), abs_tol=1e-12)
def one(page, name): return page.locator(f'[id="play-{name}"]')
def text(page, name): return one(page, name).inner_text()
def texts(page, *names):
    return page.evaluate("l => l.map(n => document.getElementById('play-' + n).innerText)", names)

def start(page): return page.evaluate('play.START')
def shown(page):
    "Every number on the page: in the boxes, read aloud, on the arrows, and the last loss."
    return page.evaluate("""() => {
        const all = (css, f) => Object.fromEntries(
            [...document.querySelectorAll(css)].map(e => [e.dataset.box ?? e.dataset.arrow, f(e)]))
        const texts = e => [...e.querySelectorAll('.value, .grad')].map(t => t.textContent)
        return {boxes: all('#play-graph .box', texts), shares: all('.arrow:has(text)', texts),
                read: all('[role=slider]', e => e.ariaValueText.split(', gradient ')),
                chosen: ['choose', 'value', 'grad'].map(
                    id => document.getElementById('play-' + id).value),
                loss: document.getElementById('play-steps').textContent}}""")

def losses(page): return re.findall(r'[\d.e−+]+\d|\d', shown(page)['loss'].split('. The')[0])

def assert_shows(page, net):
    "Boxes, shares and the number in use are those of `net`, by the package."
    (z1, a, z2), (loss, g), see = inner(net), gradients(net), shown(page)
    assert see['read'].keys() == set(NAMES)
    for name,(value,grad) in see['read'].items():
        assert near(value, get(net, name)) and near(grad, get(g, name)), (name, value, grad, net)
    want = {n: (get(net, n), get(g, n)) for n in NAMES} | {'L': (loss, 1), 'z2': (z2, g['b2'])}
    for k in range(2):
        want |= {f'z1[{k}]': (z1[k], g['b1'][k]), f'a[{k}]': (a[k], net['w2'][k]*g['b2'])}
    assert see['boxes'].keys() == want.keys()
    for n,(value,grad) in see['boxes'].items():
        assert near(value.removesuffix(', closed'), want[n][0], 3) and near(grad, want[n][1], 3), n
    closed = [n for n,(value,_) in see['boxes'].items() if 'closed' in value]
    assert sorted(closed) == [f'a[{k}]' for k,z in enumerate(z1) if z <= 0]
    assert len(see['shares']) == 4
    for n,(share,) in see['shares'].items(): assert near(share, arrows(net)[n][1], 3), n
    name, value, grad = see['chosen']
    assert near(value, get(net, name)) and near(grad, get(g, name)) and near(losses(page)[-1], loss)

def random_net(page):
    "Press Random and read what the numbers are, which is exact: tenths."
    page.click('#play-random')
    net = start(page)
    for name in NAMES: net = put(net, name, float(box(page, name).get_attribute('aria-valuenow')))
    return net

def box(page, name): return page.locator(f'[data-box="{name}"]')
def chosen(page): return one(page, 'choose').input_value()

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
def test_a_number_by_keyboard(page, name):
    "In the graph; what has the focus is chosen."
    before, number = get(start(page), name), page.get_by_role('slider', name=name, exact=True)
    for _ in range(3): number.press('ArrowRight')
    assert_shows(page, put(start(page), name, round(before + .3, 1)))
    for _ in range(5): number.press('ArrowDown')
    assert_shows(page, put(start(page), name, round(before - .2, 1)))
    assert chosen(page) == name
    for key,value in [('Home', -3), ('PageUp', -2.5), ('ArrowUp', -2.4), ('End', 3),
                      ('ArrowUp', 3)]:
        number.press(key)
        assert float(number.get_attribute('aria-valuenow')) == value
    assert_shows(page, put(start(page), name, 3))

def test_the_slider_moves_what_is_chosen(page):
    slider = one(page, 'slider')
    for name in ('b2', 'x[1]'):
        one(page, 'choose').select_option(name)
        value = get(start(page), name)
        assert float(slider.input_value()) == value
        for _ in range(2): slider.press('ArrowRight')
        says, gradient = slider.get_attribute('aria-valuetext').split(', gradient ')
        assert number(says) == round(value + .2, 1) and gradient == text(page, 'grad')
        assert near(text(page, 'value'), value + .2)
    assert_shows(page, put(put(start(page), 'b2', .4), 'x[1]', -.8))

def middle(page, name):
    at = box(page, name).bounding_box()
    return at['x'] + at['width']/2, at['y'] + at['height']/2

@pytest.mark.parametrize('width', [390, 1280])
def test_a_number_is_dragged(page, width):
    "By the mouse, 8 pixels a tenth; the box keeps hold of it outside, and lets go."
    page.set_viewport_size({'width': width, 'height': 844})
    wait_for(page, width)
    one(page, 'slider').scroll_into_view_if_needed()
    for name,by,value in [('b2', 80, 1.2), ('w2[1]', -40, -1.7), ('y', -900, -3)]:
        x, y = middle(page, name)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + by/2, y + 5)
        page.mouse.move(x + by, y + 60)
        page.mouse.up()
        page.mouse.move(x, y)
        assert chosen(page) == name and near(text(page, 'value'), value)
    net = start(page) | {'b2': 1.2, 'w2': [1, -1.7], 'y': -3}
    assert_shows(page, net)

def test_a_finger_drags_sideways_and_scrolls_up(page):
    page.set_viewport_size({'width': 390, 'height': 600})
    wait_for(page, 390)
    one(page, 'slider').scroll_into_view_if_needed()
    cdp = page.context.new_cdp_session(page)
    def touch(kind, *at):
        points = [{'x': at[0], 'y': at[1]}] if at else []
        cdp.send('Input.dispatchTouchEvent', {'type': f'touch{kind}', 'touchPoints': points})
    def swipe(name, dx, dy):
        x, y = middle(page, name)
        touch('Start', x, y)
        for k in range(1, 9): touch('Move', x + k*dx/8, y + k*dy/8)
        touch('End')
    swipe('b2', 80, 0)
    assert chosen(page) == 'b2' and text(page, 'value') == '1.2'
    before = page.evaluate('scrollY')
    swipe('w2[0]', 0, -160)
    page.wait_for_function(f'scrollY > {before}')
    assert text(page, 'value') == '1' and chosen(page) == 'w2[0]'

def test_a_tap_chooses_and_changes_nothing(page):
    page.click('#play-step')
    net = page.evaluate('play.step(play.START, 0.01)')
    for name in NAMES:
        box(page, name).click()
        assert chosen(page) == name
    assert_shows(page, net)

def test_step_is_sgd(page):
    for _ in range(3): one(page, 'lr').press('ArrowRight')
    assert text(page, 'value-lr') == '0.04'
    net, seen = start(page), []
    t = tensors(net)
    opt = SGD([t[k] for k in PARAMS], lr=.04)
    for n in range(7):
        seen.append(forward_and_backward(*[t[k] for k in ('x', 'y', *PARAMS)]).item())
        opt.step()
        page.get_by_role('button', name='One step').press('Enter')
        net |= {'w1': t['w1'].tolist(), 'b1': t['b1'].tolist(), 'w2': t['w2'][:,0].tolist(),
                'b2': t['b2'].item()}
        assert_shows(page, net)
    seen.append(loss_of(net))
    assert len(losses(page)) == 5 and all(near(a, b) for a,b in zip(losses(page), seen[-5:]))
    curve = page.locator('#play-graph .curve')
    assert all(near(a, b, 3) for a,b in zip(
        curve.get_attribute('aria-label').split(': ')[1].split(', '), seen, strict=True))
    path = curve.locator('path:not(.axes)').get_attribute('d')
    points = [tuple(map(float, p.split(','))) for p in path[1:].split(' L')]
    (x0, y0), (x1, y1) = points[0], points[-1]
    assert x1 > x0 and (y1 > y0) == (seen[-1] < seen[0]), 'a smaller loss is lower'
    for n,((x, y), L) in enumerate(zip(points, seen, strict=True)):
        assert math.isclose(x, x0 + n*(x1 - x0)/7, abs_tol=1e-6)
        assert math.isclose(y, y0 + (seen[0] - L)*(y1 - y0)/(seen[0] - seen[-1]), abs_tol=1e-6)
    box(page, 'b2').press('ArrowUp')
    assert curve.locator('path').count() == 0, 'another network, another curve'

def test_steps_and_reset(page):
    for _ in range(9): one(page, 'lr').press('ArrowRight')
    net, rose = start(page), set()
    for _ in range(2):
        before, net = loss_of(net), page.evaluate('n => play.step(n, 0.1)', net)
        page.click('#play-step')
        assert near(losses(page)[-1], loss_of(net))
        assert ('The loss rose' in text(page, 'steps')) == (loss_of(net) > before)
        rose.add(loss_of(net) > before)
    assert rose == {True, False}, 'both are tried'
    page.click('#play-reset')
    assert_shows(page, start(page))
    assert len(losses(page)) == 1

def test_keys_go_on_in_tenths_after_a_step(page):
    page.click('#play-step')
    value = page.evaluate('play.step(play.START, 0.01).b2')
    one(page, 'choose').select_option('b2')
    assert near(text(page, 'value'), value) and round(value, 1) != value
    box(page, 'b2').press('ArrowRight')
    assert number(text(page, 'value')) == round(value + .1, 1)

@pytest.mark.parametrize('width', [390, 1280])
def test_width_is_the_size_of_the_gradient(page, width):
    "The larger the gradient the wider the arrow, within bounds; dashed where it is 0."
    page.set_viewport_size({'width': width, 'height': 844})
    wait_for(page, width)
    pairs, zeros = [], 0
    for k in range(4):
        net = random_net(page) if k else start(page)
        drawn = page.locator('#play-graph .arrow').evaluate_all("""l => l.map(a => [a.dataset.arrow,
            +a.querySelector('.line').getAttribute('stroke-width'),
            a.classList.contains('zero')])""")
        want = arrows(net)
        assert sorted(a for a,*_ in drawn) == sorted(want)
        for a,wide,zero in drawn:
            g = abs(want[a][1])
            assert zero == (g == 0) and 1 <= wide <= 9
            pairs.append((g, wide))
            zeros += zero
    for (g,wide),(more,wider) in zip(sorted(pairs), sorted(pairs)[1:]):
        assert wider >= wide - 1e-9 and (wider > wide or more - g < 1e-9 or wide == 9)
    assert zeros and len({w for _,w in pairs}) > 20
    legend = page.locator('#play-widths')
    said = [float(n) for n in legend.inner_text().split()]
    drawn = legend.locator('path').evaluate_all("l => l.map(p => +p.getAttribute('stroke-width'))")
    assert drawn == [page.evaluate(f'play.width({g})') for g in said]

def test_back_one_box_at_a_time(page):
    "From L: in each box upstream times local is downstream, by the package; then forward again."
    for k in range(3):
        net = random_net(page) if k else start(page)
        z1, a, z2 = inner(net)
        values, want = net | {'z1': z1, 'a': a}, arrows(net)
        ups = {'L': 1, 'z2': gradients(net)[1]['b2']}
        ups |= {n: want[next(w for w in want if w.startswith(n))][1] for n in BACK[2:]}
        states = []
        for n,to in enumerate(BACK, 1):
            page.get_by_role('button', name='Back').press('Enter')
            assert page.locator('#play-graph .lit').get_attribute('data-box') == to
            rows = page.locator('#play-walk tr').evaluate_all(
                'l => l.slice(1).map(r => [...r.cells].map(c => c.textContent))')
            assert sorted(f'{r[0]} {to}' for r in rows) == sorted(w for w in want if w.endswith(to))
            for name,up,local,down in rows:
                assert near(up, ups[to]) and near(down, want[f'{name} {to}'][1])
                said, _, value = local.partition(' = ')
                if value and said in NAMES + ['a[0]', 'a[1]']: assert near(value, get(values, said))
                value = number(re.match('[01]', local)[0] if not value else value)
                assert math.isclose(value*ups[to], number(down), rel_tol=2e-3, abs_tol=1e-12)
            come = {}
            for w,(_,share) in want.items():
                name, end = w.split()
                if end in BACK[:n]: come[name] = come.get(name, 0) + share
            see = shown(page)
            for name,(_,grad) in see['boxes'].items():
                if name in come: assert near(grad, come[name], 3), (to, name)
                else: assert grad == ('1' if name == 'L' else '?')
            assert {n for n,(_,grad) in see['read'].items() if 'not known' in grad} == \
                   set(NAMES) - come.keys()
            assert not page.locator('#play-proof').is_visible()
            states.append(see)
        for x in net['x']: assert 'add' in text(page, 'walk')
        for see in states[-2::-1]:
            page.get_by_role('button', name='Forward').press('Enter')
            assert shown(page) == see
        page.get_by_role('button', name='Forward').press('Enter')
        assert page.locator('#play-graph .lit').count() == 0 and text(page, 'walk') == ''
        assert_shows(page, net)

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
    if moves == 3: net = put(net, 'b1[0]', -3.); box(page, 'b1[0]').press('Home')
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
            *both, product, shown, agree = texts(
                page, 'above', 'below', 'product', 'slope', 'agree')
            for side,L in zip(sides, both): assert near(L, loss_of(side), 11)
            assert near(product, g, 11)
            shown = number(shown)
            assert math.isclose(shown, want, rel_tol=1e-9, abs_tol=1e-14*loss_of(net)/step), name
            switched = [k for k in range(2) if len({inner(s)[0][k] > 0 for s in sides}) == 2]
            notes = page.locator('#play-kink .note').all_inner_texts()
            assert [n.split('unit ')[1][0] for n in notes] == [str(k) for k in switched]
            for n,k in zip(notes, switched):
                assert near(re.search(r'to ([\d.−e]+),', n)[1], inner(sides[0])[0][k])
            if not switched: assert 'agree' in agree
            if 'digits' in agree:
                digits = int(re.search(r'(\d+) digits', agree)[1])
                assert abs(shown - g) <= 10**-digits * max(abs(shown), abs(g)) * 1.1

def test_a_kink_spoils_the_difference(page):
    def digits(): return int(re.search(r'They agree to (\d+) digits', text(page, 'agree'))[1])
    one(page, 'choose').select_option('w1[0,0]')
    one(page, 'h').select_option('1')
    seen = {number(text(page, what)) for what in ('slope', 'product')}
    assert len(seen) == 2 and seen <= told(5) and 'They differ' in text(page, 'agree')
    one(page, 'h').select_option('0.3')
    assert text(page, 'kink') == '' and digits() > 10
    one(page, 'h').select_option('1e-8')
    assert 5 < digits() < 11, 'about half of them are lost'

def test_the_way_to_the_loss_is_lit(page):
    "Every arrow on a way from the chosen box to the loss."
    def arrows(which=''):
        lit = page.locator(f'#play-graph .arrow{which}')
        return set(lit.evaluate_all('l => l.map(a => a.dataset.arrow)'))
    for name in ('x[1]', 'w2[0]', 'y', 'x[0]'):
        box(page, name).click()
        ends, way = {name}, set()
        while more := {a for a in arrows() - way if a.split()[0] in ends}:
            way |= more
            ends |= {a.split()[1] for a in more}
        assert arrows('.on') == way and 'L' in ends

# ---- five things to try

def grads(page): return {n: number(g) for n,(_,g) in shown(page)['read'].items()}
def zeros(page): return {n for n,g in grads(page).items() if g == 0}
def task(page): return page.locator('#five-things-to-try ol > li:visible')

def begin(page, k):
    "Open task k: the start, no gradient on show, no answer."
    page.get_by_role('button', name=f'{k}: ').click()
    see = shown(page)
    assert {g for n,(_,g) in see['boxes'].items() if n != 'L'} == {see['chosen'][2]} == {'?'}
    assert {g for s in see['shares'].values() for g in s} == {''}
    assert all(near(v, get(start(page), n)) for n,(v,_) in see['read'].items())
    widths = page.locator('#play-graph .line').evaluate_all(
        "l => l.map(e => e.getAttribute('stroke-width'))")
    assert set(widths) == {'1'} and not page.locator('#play-proof').is_visible()
    assert task(page).count() == 1 and task(page).evaluate('e => e == document.activeElement')
    assert not task(page).locator('.answer').is_visible()

def say(page, words):
    "Give an answer by keyboard; what the page says to it."
    form = task(page).locator('form')
    if form.count():
        form.get_by_role('textbox').fill(words)
        form.get_by_role('textbox').press('Enter')
    else: task(page).get_by_role('button', name=words, exact=True).press('Enter')
    assert task(page).locator('.answer').is_visible()
    assert '?' not in {g for _,g in shown(page)['boxes'].values()}
    return task(page).get_by_role('status').inner_text()

def test_find_the_largest_gradient(page):
    begin(page, 1)
    choices = task(page).locator('.choices button').all_inner_texts()
    assert say(page, 'w1[0,1]') == 'Right: w1[0,1]'
    weights = {n: abs(g) for n,g in grads(page).items() if n[0] in 'wb'}
    largest = max(weights, key=weights.get)
    assert largest == chosen(page) == 'w1[0,1]' in choices and weights[largest] in told(1)
    one(page, 'choose').select_option('w1[1,1]')
    factors = [page.locator('#play-chain td:last-child').all_inner_texts()]
    one(page, 'choose').select_option('w1[0,1]')
    factors.append(page.locator('#play-chain td:last-child').all_inner_texts())
    assert len(factors[0]) == 5 and [a == b for a,b in zip(*factors)] == [True]*3 + [False]*2
    box(page, 'x[1]').press('Home')
    one(page, 'slider').fill('0')
    assert zeros(page) == {'w1[1,0]', 'w1[1,1]'}

def test_close_a_unit(page):
    begin(page, 2)
    assert chosen(page) == 'b1[1]' and say(page, '4') == 'Right: 4'
    assert zeros(page) == {'w1[0,1]', 'w1[1,1]', 'b1[1]', 'w2[1]'} and {.5, -.6, 4} <= told(2)
    assert_shows(page, put(start(page), 'b1[1]', -.6))
    box(page, 'b1[0]').press('Home')
    for _ in range(3): page.click('#play-step')
    assert {n for n,g in grads(page).items() if g != 0} == {'b2', 'y'}

def test_watch_two_paths_add(page):
    begin(page, 3)
    assert chosen(page) == 'x[0]' and say(page, '2,1') == 'Right: 2.1'
    shares, total = [[number(x) for x in part.split(' + ')]
                     for part in text(page, 'total').split(' = ')[1:]]
    assert len(shares) == 2 and {*shares, *total, -.5} <= told(3)
    assert math.isclose(sum(shares), *total)
    one(page, 'choose').select_option('w2[1]')
    one(page, 'slider').fill('-0.5')
    one(page, 'choose').select_option('x[0]')
    assert text(page, 'total').endswith(' = 0') and page.locator('.closed').count() == 0

def test_step_until_the_loss_rises(page):
    begin(page, 4)
    for _ in range(5): page.click('#play-step')
    assert 'rose' not in text(page, 'steps') and text(page, 'value-lr') == '0.01'
    begin(page, 4)
    assert say(page, 'It falls, and faster.') == 'No: It rises.'
    assert 'rose' in text(page, 'steps') and text(page, 'value-lr') == '0.1'
    net = page.evaluate('play.step(play.START, 0.1)')
    assert {round(loss_of(n), 2) for n in (net, start(page))} <= told(4)
    assert_shows(page, net)
    page.click('#play-step')
    assert page.locator('#play-graph .closed').count() == 2
    assert {n for n,g in grads(page).items() if n[0] in 'wb' and g} == {'b2'}

def test_make_the_finite_difference_fail(page):
    def digits(): return int(re.search(r'They agree to (\d+) digits', text(page, 'agree'))[1])
    begin(page, 5)
    assert say(page, 'Not off at all') == 'Right: Not off at all'
    assert chosen(page) == 'w1[0,0]' and one(page, 'h').input_value() == '0.3' and .3 in told(5)
    assert text(page, 'kink') == '' and digits() > 10
    one(page, 'h').select_option('1')
    seen = {number(text(page, what)) for what in ('slope', 'product')}
    assert len(seen) == 2 and seen <= told(5) and 'They differ' in text(page, 'agree')
    one(page, 'h').select_option('1e-8')
    assert 5 < digits() < 11, 'about half of them are lost'

def test_an_answer_belongs_to_its_question(page):
    "Whatever was moved, chosen or walked while it asked."
    begin(page, 3)
    box(page, 'w2[1]').press('Home')
    page.click('#play-step')
    page.click('#play-back')
    say(page, '5')
    assert chosen(page) == 'x[0]' and page.locator('#play-graph .lit').count() == 0
    assert_shows(page, start(page))

def test_what_is_no_number_costs_no_try(page):
    begin(page, 2)
    answer = task(page).get_by_role('textbox')
    for words in 'four', '4 weights', ' ':
        answer.fill(words)
        answer.press('Enter')
        assert task(page).get_by_role('status').inner_text().startswith('Please enter')
        assert not task(page).locator('.answer').is_visible()
    assert say(page, '4') == 'Right: 4'

def test_through_all_of_them_by_keyboard(page):
    "A wrong answer is told as such and once only; Next goes on, and at the end all is as before."
    page.locator('#five-things-to-try [aria-label^="1:"]').press('Enter')
    for k in range(1, 6):
        page.keyboard.press('Tab')
        right = re.search(r'\*\*(.+?)\*\*', THINGS[k].split('\n\n   ', 1)[1])[1].strip('`')
        if task(page).locator('form').count():
            page.keyboard.type('77')
        page.keyboard.press('Enter')
        assert task(page).get_by_role('status').inner_text() == f'No: {right}'
        marked = task(page).locator('.right').all_inner_texts()
        assert marked == ([] if task(page).locator('form').count() else [right])
        assert say(page, right) == f'No: {right}'
        task(page).get_by_role('button', name='Done' if k == 5 else 'Next').press('Enter')
        current = page.locator('[aria-current="step"]').all_inner_texts()
        assert current == [str(k + 1)] * (k < 5)
    assert task(page).count() == 0
    assert page.evaluate("document.activeElement.closest('#five-things-to-try') != null")
    assert_shows(page, start(page))

def test_on_paper_and_without_javascript(page, chromium, address):
    "All questions with their answers; nothing to press."
    def all_is_there(tab):
        for thing in ('nine weights and biases', 'no number of steps opens', 'half of the digits'):
            assert tab.get_by_text(thing).is_visible()
        assert not tab.locator('button:visible, input:visible').all_inner_texts() or tab is page
    page.emulate_media(media='print')
    all_is_there(page)
    assert not page.locator('#play-graph').is_visible()
    page.emulate_media(media='screen')
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(address)
    all_is_there(tab)
    context.close()

# ---- on every screen, for everybody

def wait_for(page, width):
    "Until the drawing is that of the page's width."
    size = 310 if width > 600 else 345
    page.wait_for_function("""size => {
        const svg = document.querySelector('#play-graph svg'), stage = svg.closest('.stage')
        return svg.viewBox.baseVal.height == size + 4 && svg.clientWidth == stage.clientWidth
    }""", arg=size)

SCREENS = [(360, 640), (390, 844), (768, 1024), (844, 390), (667, 375), (1280, 800)]

@pytest.mark.parametrize('width,height', SCREENS)
def test_graph_and_control_share_the_screen(page, width, height):
    page.set_viewport_size({'width': width, 'height': height})
    wait_for(page, width)
    page.click('#play-step')
    net = page.evaluate('play.step(play.START, 0.01)')
    assert_shows(page, net)
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    sizes = page.locator('#play-graph text').evaluate_all(
        'l => l.map(t => parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a)')
    assert min(sizes) >= 11
    controls = [one(page, n) for n in ('slider', 'choose', 'step', 'back', 'reset')]
    begin(page, 2)
    for control in controls + [task(page).get_by_role('textbox')]:
        page.locator('#play').evaluate('e => e.scrollIntoView()')
        control.focus()
        for name in ('w1[0,0]', 'y', 'L'):
            at = box(page, name).bounding_box()
            assert at['y'] >= -1 and at['y'] + at['height'] <= height + 1, (name, at)
        at = control.bounding_box()
        assert at['y'] >= 0 and at['y'] + at['height'] <= height, at
        x, y = at['x'] + at['width']/2, at['y'] + at['height']/2
        assert control.evaluate(f'e => document.elementFromPoint({x}, {y}) == e'), 'it is covered'
    say(page, '4')
    said = task(page).get_by_role('status').bounding_box()
    assert said['y'] + said['height'] <= height, 'one sees whether it was right'

def test_formulas_stay_in_their_line(page):
    "MathJax draws them as an SVG in the text."
    begin(page, 1)
    display = task(page).locator('p').first.evaluate("""p => {
        p.append(document.createElementNS('http://www.w3.org/2000/svg', 'svg'))
        return getComputedStyle(p.lastChild).display
    }""")
    assert display == 'inline'

@pytest.mark.parametrize('width', [360, 390, 768, 844, 1280])
def test_nothing_overlaps(page, width):
    "Boxes stay clear of each other, texts inside their box, shares clear of boxes."
    page.set_viewport_size({'width': width, 'height': 844 if width != 844 else 390})
    wait_for(page, width)
    for _ in range(3):
        page.click('#play-step')
        rects = page.evaluate("""() => ['.box rect', '.arrow text', '.box text'].map(css =>
            [...document.querySelectorAll('#play-graph ' + css)].map(e => {
                const r = e.getBoundingClientRect()
                return [r.left, r.top, r.right, r.bottom, e.closest('g').dataset.box ?? '']
            }))""")
        boxes, shares, words = rects
        clear = lambda p, q: p[2] <= q[0] or q[2] <= p[0] or p[3] <= q[1] or q[3] <= p[1]
        free = boxes + [[a, b + 3, c, d - 3, ''] for a,b,c,d,_ in shares]
        assert not [(p, q) for n,p in enumerate(free) for q in free[:n] if not clear(p, q)]
        home = {b[4]: b for b in boxes}
        for a,_,c,_,name in words: assert home[name][0] <= a + 1 and c <= home[name][2] + 1, name

def test_every_control_has_a_name(page):
    for kind in ('input', 'select', 'button', 'output'):
        for el in page.locator(f'#play {kind}').all():
            assert el.evaluate("e => (e.ariaLabel ?? (e.labels?.[0] ?? e).textContent).trim()")
    assert page.get_by_role('group', name='The network as a graph').count() == 1
    net = start(page)
    value, grad = get(net, 'w1[0,0]'), get(gradients(net)[1], 'w1[0,0]')
    said = box(page, 'w1[0,0]').get_attribute('aria-valuetext')
    assert said == f'{value:g}, gradient {grad:g}'.replace('-', '−')

@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_accessible_in_both_schemes(page, scheme):
    "While it asks, when it has answered, on the way back; nothing moves by itself."
    paper, ink = ('#fff', '#222') if scheme == 'light' else ('#14181e', '#e6e6e6')
    page.add_style_tag(content=f'body {{ background: {paper}; color: {ink} }} a {{ color: {ink} }}')
    page.evaluate(f'document.documentElement.dataset.theme = {json.dumps(scheme)}')
    begin(page, 1)
    rules = None if scheme == 'light' else ['color-contrast', 'link-in-text-block']
    assert audit(page, rules) == []
    say(page, 'w2[0]')
    box(page, 'b1[1]').press('Home')
    page.click('#play-step')
    assert audit(page, rules) == []
    for _ in range(5): page.click('#play-back')
    assert audit(page, rules) == []
    assert page.evaluate('document.getAnimations().length') == 0
    moves = page.locator('#play *').evaluate_all("""l => l.map(e => getComputedStyle(e)).filter(
        s => parseFloat(s.transitionDuration) || s.animationName != 'none').length""")
    assert moves == 0, 'so no motion needs to be reduced'
