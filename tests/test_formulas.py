"The tables `In short`: each line of code computes what its row says, each link leads somewhere."
import ast, functools, math, re
from typing import NamedTuple
import course, nbformat, pytest, torch
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin
from torch.nn import functional as F
from torch.testing import assert_close
import backprop_nb.all  # noqa: F401, all records
from backprop_nb.graph import Value
from backprop_nb.operation import OPS, Draw, by_autograd
from run_course import ROOT

NOTATION = ROOT/'site'/'notation.md'
CHAPTERS = {nb.number: nb for nb in course.chapters()}

class Row(NamedTuple):
    chapter: str  # its number, as '05'
    cells: dict   # by the heads of the columns; '' is the first

def split(line): return [cell.strip() for cell in line.strip().strip('|').split(' | ')]

def rows():
    "All rows of all tables of formulas."
    for number, nb in CHAPTERS.items():
        for block in nb.formulas:
            if not block.startswith(course.FORMULAS): continue
            head, _, *body = block.split('\n')
            names = ['', *split(head)[-len(split(body[0])) + 1:]]
            for line in body:
                cells = split(line)
                assert len(cells) == len(names), f'{nb.name}, In short: {line}'
                yield Row(number, dict(zip(names, cells)))

def leaf(*shape): return torch.randn(shape, dtype=torch.float64, requires_grad=True)

def grads(loss, **leaves):
    "The gradients of `loss` by autograd, by name."
    return dict(zip(leaves, torch.autograd.grad(loss, leaves.values(), retain_graph=True)))

def named(**tensors):
    "The tensors without their history; a pair (tensor, gradient) gets its `.g`."
    names = {}
    for name, t in tensors.items():
        t, g = t if isinstance(t, tuple) else (t, None)
        names[name] = t.detach().clone() if torch.is_tensor(t) else t
        if g is not None: names[name].g = g
    return names

def local(f, *xs):
    "The value of `f` at the numbers `xs` and its derivatives, by autograd."
    xs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in xs]
    y = f(*xs)
    return tuple(t.item() for t in (y, *torch.autograd.grad(y, xs)))

# Each function sets one chapter up. It returns the names that the code may use, the truth for each
# row and the sizes that shapes are made of. The truth comes from autograd where the row is a
# gradient, from another way of computing elsewhere; a function looks at the result by itself.

def chapter_00():
    a, b, n = 0.3, -0.7, 3
    x, sign = leaf(), (-1)**torch.initial_seed()
    u = 7 + x**2
    y = 3*u
    p, q = Value(a), Value(b)
    v = p * q
    v.backward(2.)
    out = v + p.exp()
    v.label, more = 'v', Value(a)
    more.g = 5.                                    # what other uses have brought
    names = dict(math=math, a=a, b=b, n=n, s=1 / (1 + math.exp(-a)), v=v, local=v.local[0], out=out,
                 **grads(y, dy_du=u), **grads(u, du_dx=x))
    truth = {
        'chain': torch.autograd.grad(3*(7 + x**2), x)[0],
        'one use of $a$': 2 * local(lambda a: a*b, a)[1],
        'one more use': local(lambda a: 2*a*b + 5*a, a)[1],
        'order': sorted(out.nodes(), key=lambda v: -v.order),
        'sum': local(lambda a, b: a + b, a, b), 'difference': local(lambda a, b: a - b, a, b),
        'product': local(lambda a, b: a*b, a, b), 'quotient': local(lambda a, b: a/b, a, b),
        'power': local(lambda a: a**n, a), 'exponential': local(torch.exp, a),
        'logarithm': local(torch.log, a), 'tanh': local(torch.tanh, a),
        'sigmoid': local(torch.sigmoid, a), 'ReLU': local(torch.relu, sign * a)}
    own = {'one more use': dict(a=more), 'ReLU': dict(a=sign * a)}
    return names, truth, {}, own

def chapter_01():
    N, d, i, r, c, k = 100, 784, 3, 5, 7, 2
    bytes, y = torch.randint(256, (28, 28), dtype=torch.uint8), torch.arange(N) % 10
    x = torch.rand(N, d)
    truth = {'ink': torch.tensor([[v / 255 for v in row] for row in bytes.tolist()]),
             'a pixel': x.view(N, 28, 28)[i, r, c],
             'the average digit of class $k$': sum(x[n] for n in range(N) if y[n] == k) / 10,
             'a batch of an epoch': lambda at: len({*at.tolist()} & {*range(N)}) == 64}
    return named(bytes=bytes, x=x, y=y, N=N, i=i, r=r, c=c, k=k), truth, dict(d=d)

def chapter_02():
    x, h, W = leaf(), 1e-3, leaf(5)
    slope, at = grads(x.sin(), x=x)['x'], x.item()
    miss = (math.sin(at + h) - math.sin(at - h)) / (2*h) - slope
    y, up = (W * x).tanh(), leaf(5)
    a, b = leaf(3, 4), leaf(3, 4)
    names = named(f=torch.sin, x=x, h=h, third=-x.cos(), up=up, a=a, b=b,
                  local=torch.autograd.functional.jacobian(lambda x: (W * x).tanh(), x))
    pairs = zip(a.flatten().tolist(), b.flatten().tolist())
    truth = {'central difference': lambda got: abs(got - slope) < 1e-6,
             'its error': lambda got: abs(got / abs(miss) - 1) < 1e-4,
             'best step': math.exp(math.log(2.**-52) / 3),
             'many outputs': grads((y * up.detach()).sum(), x=x)['x'],
             'relative error': torch.tensor([abs(v - w) / max(abs(v), abs(w)) for v, w in pairs],
                                            dtype=torch.float64).view(3, 4)}
    return names, truth, dict(N=3, d=4)

def chapter_03():
    N, k = 5, 2
    inp, targ, up = leaf(N, 1), leaf(N), leaf()
    loss = F.mse_loss(inp.flatten(), targ)
    g, with_up = grads(loss, a=inp)['a'], grads(loss * up, a=inp)['a']
    truth = {'forward': loss, 'one guess': g[k,0], 'all guesses': g, 'with upstream': with_up}
    return named(inp=inp, targ=targ, out=(loss, up.detach()), N=N, k=k, i=k), truth, dict(N=N)

def chapter_04():
    N, m, i, k = 3, 4, 1, 2
    inp, up = leaf(N, m), leaf(N, m).detach()
    inp.data[i,k] *= torch.initial_seed() % 2      # exactly at the kink, in one of two runs
    out = inp.relu()
    g = grads((out * up).sum(), z=inp)['z']
    J = torch.autograd.functional.jacobian(torch.relu, inp).view(N*m, N*m)
    truth = {'forward': out, 'one entry': g[i,k], 'all entries': g, 'Jacobian, to think with': J}
    return named(inp=inp, out=(out, up), i=i, k=k), truth, dict(N=N, m=m, Nm=N*m)

def chapter_05():
    N, d, m, i, j, k = 3, 4, 2, 2, 3, 1
    inp, w, b, up = leaf(N, d), leaf(d, m), leaf(m), leaf(N, m).detach()
    out = F.linear(inp, w.t(), b)
    g = grads((out * up).sum(), w=w, b=b, x=inp)
    names = named(inp=inp, w=w, b=b, out=(out, up), g=up, N=N, m=m, i=i, j=j, k=k,
                  inp_c=inp.t(), w_c=w.t(), g_c=up.t())
    truth = {'forward': out, 'one weight': g['w'][j,k], 'weights': g['w'], 'one bias': g['b'][k],
             'bias': g['b'], 'one input': g['x'][i,j], 'input': g['x'],
             'weights, by broadcasting': g['w'], 'weights, by index': g['w'],
             'forward, examples in columns': out.t(), 'weights, examples in columns': g['w'].t(),
             'bias, examples in columns': g['b'][:, None], 'input, examples in columns': g['x'].t()}
    return names, truth, dict(N=N, d=d, m=m)

def chapter_06():
    N, d, m = 5, 4, 3
    x, y, w1, b1, w2, b2 = leaf(N, d), leaf(N), leaf(d, m), leaf(m), leaf(m, 1), leaf(1)
    z1 = F.linear(x, w1.t(), b1)
    a1 = z1.relu()
    z2 = F.linear(a1, w2.t(), b2)
    loss = F.mse_loss(z2.flatten(), y)
    leaves = dict(x=x, w1=w1, b1=b1, w2=w2, b2=b2, z1=z1, a1=a1, z2=z2)
    g = grads(loss, **leaves)
    names = named(N=N, y=y, e=z2 - y[:,None], **{n: (t, g[n]) for n, t in leaves.items()})
    truth = {'forward': loss, 'answers': g['z2'], '$b_2$': g['b2'], '$w_2$': g['w2'],
             'activations': g['a1'], 'scores before the gates': g['z1'], '$b_1$': g['b1'],
             '$W_1$': g['w1'], '$X$': g['x']}
    return names, truth, dict(N=N, d=d, m=m)

def chapter_07():
    p, g = leaf(3, 2), leaf(3, 2).detach()
    q = p.detach().clone()
    q.grad = g
    torch.optim.SGD([q], lr=0.3).step()
    return named(p=(p, g), lr=0.3), {'learning': q}, dict(d=3, m=2)

def chapter_08():
    N, d, m = 6, 2, 3
    X, w1, w2, b = leaf(N, d), leaf(d, m), leaf(m, 1), leaf(1)
    z1 = X @ w1
    a1 = z1.relu()
    z = a1 @ w2 + b
    p, y, up = z.sigmoid(), (torch.arange(N) % 2).double()[:,None], leaf(N, 1).detach()
    loss, squared = F.binary_cross_entropy(p, y), F.mse_loss(p, y)
    g = grads(loss, p=p, z=z, w1=w1, w2=w2, b=b)
    names = named(X=X, z=z, p=p, y=y, z1=z1, a1=a1, w2=w2, inp=z, out=(p, up), N=N, g=g['z'])
    truth = {'sigmoid': p, 'its slope': grads(p.sum(), z=z)['z'],
             'its gradient': grads((p * up).sum(), z=z)['z'],
             'cross-entropy': loss, 'its gradient for $P$': g['p'],
             'both in one, stable': F.binary_cross_entropy_with_logits(z, y),
             'gradient of both in one': g['z'], 'squared error instead': grads(squared, z=z)['z'],
             'second layer': g['w2'], 'its bias': g['b'], 'first layer': g['w1']}
    return names, truth, dict(N=N, d=d, m=m)

def chapter_09():
    N, C = 4, 5
    x, up, targ = leaf(N, C), leaf(N, C).detach(), torch.tensor([1, 0, 4, 1])
    out, logp, z = x.softmax(1), x.log_softmax(1), x[2].detach()
    J = torch.autograd.functional.jacobian
    names = named(x=x, up=up, targ=targ, one_hot=F.one_hot(targ).double(), out=out, logp=logp, z=z,
                  p=z.softmax(0), N=N, C=C)
    truth = {'softmax': F.softmax(z, 0), 'its Jacobian': J(lambda z: z.softmax(0), z),
             'upstream times Jacobian': grads((out * up).sum(), x=x)['x'],
             'log-softmax': logp, 'a safe logarithm of the sum': z.exp().sum().log(),
             'its Jacobian for one row': J(lambda z: z.log_softmax(0), z),
             'upstream times that': grads((logp * up).sum(), x=x)['x'],
             'negative log-likelihood': F.nll_loss(logp, targ),
             'its gradient': grads(F.nll_loss(logp, targ), logp=logp)['logp'],
             'both, fused': grads(F.cross_entropy(x, targ), x=x)['x']}
    return names, truth, dict(N=N, C=C)

def stepped(optimizer, p, gradients, **settings):
    "A parameter after PyTorch's steps with these gradients, and what the optimizer remembers."
    p = p.clone()
    opt = optimizer([p], **settings)
    for p.grad in gradients: opt.step()
    return p, opt.state[p]

def chapter_10():
    d, m, N, B, t = 400, 500, 6, 2, 3
    p, g, g_i = leaf(d).detach(), leaf(t, d).detach(), leaf(N, d).detach()
    lr, mu, b1, b2, eps, weight_decay = 0.1, 0.9, 0.8, 0.95, 1e-3, 0.3
    whole = sum(g_i) / N
    var = sum((row - whole).pow(2).sum() for row in g_i) / N
    pairs = [(g_i[i] + g_i[j]) / 2 for i in range(N) for j in range(i)]
    sgd = functools.partial(stepped, torch.optim.SGD, p, lr=lr)
    adam = functools.partial(stepped, torch.optim.Adam, p, lr=lr, betas=(b1, b2), eps=eps)
    (old, before), (new, after) = adam(g[:-1]), adam(g)

    def mean(x, beta): # weights that fall by the factor beta, and add up to 1
        ws = [beta**k for k in reversed(range(t))]
        return sum(w * row for w, row in zip(ws, x)) / sum(ws)
    names = named(d=d, m=after['exp_avg'], v=after['exp_avg_sq'], N=N, B=B, t=t, g_i=g_i, p=p,
                  g=g[-1], lr=lr, mu=mu, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, var=var)
    truth = {'first weights': lambda w: abs(w.var() * d/2 - 1) < 0.02 and abs(w.mean()) < 1e-3,
             'the whole gradient': whole, 'scatter of one digit': var,
             'scatter of a batch': sum((x - whole).pow(2).sum() for x in pairs) / len(pairs),
             'SGD': sgd(g[-1:])[0], 'weight decay': (p - sgd(g[-1:], weight_decay=0.3)[0]) / lr,
             'momentum': sgd(g, momentum=mu)[1]['momentum_buffer'],
             'Adam, mean': after['exp_avg'], 'Adam, mean square': after['exp_avg_sq'],
             'Adam, corrected mean': mean(g, b1), 'Adam, corrected mean square': mean(g**2, b2),
             'Adam, step': new}
    own = {'first weights': dict(m=m), 'Adam, step': dict(p=old),
           'momentum': dict.fromkeys('mv', sgd(g[:-1], momentum=mu)[1]['momentum_buffer']),
           'Adam, mean': dict(m=before['exp_avg']),
           'Adam, mean square': dict(v=before['exp_avg_sq'])}
    return names, truth, dict(d=d, m=m), own

def chapter_11():
    N, C, n_filters, H, W, k_h, k_w, s, padding, k, u, v = 2, 3, 4, 6, 9, 3, 2, 2, 2, 3, 1, 0
    x, w, b = leaf(N, C, H, W), leaf(n_filters, C, k_h, k_w), leaf(n_filters)
    seen = F.pad(x, [padding]*4).unfold(2, k_h, s).unfold(3, k_w, s)
    z = torch.einsum('ncpquv,fcuv->nfpq', seen, w) + b[:, None, None]
    P, Q = z.shape[2:]
    near = x.unfold(2, k_h, 1).unfold(3, k_w, 1)
    z1 = torch.einsum('ncpquv,fcuv->nfpq', near, w) + b[:, None, None]
    up, up1, up_k, row = [leaf(*shape).detach() for shape in
                          [z.shape, z1.shape, (N, C, H//k, W//k), (N, C*H*W)]]
    windows = x.unfold(2, k, k).unfold(3, k, k)
    largest, mean = windows.amax((4, 5)), windows.mean((4, 5))
    share, g = torch.zeros(N, C, H, W), grads((z * up).sum(), x=x, w=w, b=b)
    share[:,:,u::k,v::k] = 1
    at = F.max_pool2d(x, k, return_indices=True)[1].flatten(2)
    names = named(F=F, x=x, w=w, b=b, out=(z, up), g1=up1, H=H, k_h=k_h, k_w=k_w, k=k, u=u, v=v,
                  s=s, padding=padding, inp=(x, torch.zeros_like(x)), at=at, row=(row, row),
                  rest=[(H + 2*padding - k_h) % s, (W + 2*padding - k_w) % s])
    truth = {'places': P, 'forward': z, 'filters': g['w'], 'biases': g['b'],
             'input, any stride': g['x'], 'unfolded': z1.flatten(2),
             'input, stride 1, padding 0': grads((z1 * up1).sum(), x=x)['x'],
             'max pooling': largest, 'average pooling': mean,
             'max pooling, backward': grads((largest * up_k).sum(), x=x)['x'],
             'average pooling, backward': grads((mean * up_k).sum(), x=x)['x'] * share,
             'flatten': torch.stack([image.reshape(-1) for image in x]),
             'flatten, backward': torch.stack([r.view(C, H, W) for r in row])}
    own = {f'{kind} pooling, backward': named(out=(largest, up_k)) for kind in ('max', 'average')}
    return names, truth, dict(N=N, C=C, H=H, W=W, F=n_filters, k_h=k_h, k_w=k_w, P=P, Q=Q, P_k=H//k,
                              Q_k=W//k, CHW=C*H*W, places=z1[0, 0].numel()), own

def chapter_12():
    N, d, eps, momentum, p = 4, 5, 1e-5, 0.1, 0.25
    inp, w, b, up = leaf(N, d), leaf(d), leaf(d), leaf(N, d).detach()
    mean, var, mask = torch.randn(d).double(), torch.rand(d).double() + 1, torch.rand(N, d) >= p
    outs = {'layer': F.layer_norm(inp, (d,), w, b, eps), 'RMS': F.rms_norm(inp, (d,), w, eps),
            'batch': F.batch_norm(inp, None, None, w, b, True, 0., eps)}
    at_rest = F.batch_norm(inp, mean, var, w, b, False, 0., eps)
    after = torch.nn.BatchNorm1d(d, eps, momentum).double()
    after.running_mean, after.running_var = mean.clone(), var.clone()
    after(inp)
    x, W = inp.detach(), w.detach()
    mid = {'layer': x - x.mean(1, keepdim=True), 'RMS': x, 'batch': x - x.mean(0)}
    r = {n: ((t*t).mean(0 if n == 'batch' else 1, keepdim=n != 'batch') + eps).rsqrt()
         for n, t in mid.items()}
    truth, own = {}, {}
    for n, out in outs.items():
        leaves = [inp, w, b][:2 + (n != 'RMS')]
        g = torch.autograd.grad((out * up).sum(), leaves, retain_graph=True)
        for what, t in zip(['', ', input', ', factors', ', shifts'], [out.detach(), *g]):
            truth[f'{n} norm{what}'] = t
            own[f'{n} norm{what}'] = dict(r=r[n], xhat=mid[n] * r[n])
    scale = mask / (1 - p)
    truth |= {'batch norm in evaluation, input': grads((at_rest * up).sum(), inp=inp)['inp'],
              'running mean': after.running_mean, 'running variance': after.running_var,
              'dropout': inp.detach() * scale, 'dropout, input': up * scale,
              'residual, input': grads(((inp + outs['layer']) * up).sum(), inp=inp)['inp']}
    branch = named(branch=(x, truth['layer norm, input']))
    g_w, g_b = truth['batch norm, factors'], truth['batch norm, shifts']
    names = named(inp=inp, out=(x, up), w=(w, g_w), b=(b, g_b), u=up * W, N=N, eps=eps, mask=mask,
                  p=p, mean=mean, var=var, momentum=momentum, **branch)
    names |= dict(branch=branch['branch'])
    return names, truth, dict(N=N, d=d), own

def run(code, names):
    "The value of an expression, or of what a statement has assigned to."
    statement = ast.parse(code).body[0]
    if isinstance(statement, ast.Expr): return eval(code, names)
    exec(code, names)
    target = statement.target if isinstance(statement, ast.AugAssign) else statement.targets[0]
    if isinstance(target, ast.Subscript): target = target.value
    return eval(ast.unparse(target), names)

def from_record(row):
    """What the records of a chapter say of a row: names for its code, and the truth. A row that
    writes `.g` is compared with autograd, a row `forward` with torch's own function."""
    code, module = row.cells['code'].strip('`'), f'backprop_nb.{CHAPTERS[row.chapter].module}'
    for op in OPS.values():
        if op.backward.__module__ != module: continue
        inputs, wrt = op.inputs(Draw()), re.match(r'(\w+)\.g = ', code)
        leaves = [x.clone().requires_grad_() if torch.is_tensor(x) and x.is_floating_point() else x
                  for x in inputs]
        up = torch.randn_like(op.forward(*inputs))
        out, grads = by_autograd(op, inputs, lambda out: up)
        gradients = dict(zip([op.names()[k] for k in op.wrt(inputs)], grads))
        given = dict(zip(op.names(), inputs), x=inputs[0], out=(out, up))
        if wrt and wrt[1] in gradients: truth = gradients[wrt[1]]
        elif row.cells[''] == 'forward': truth = op.reference(*leaves).detach()
        else: continue
        try: run(code, {'torch': torch, 'F': F, **named(**given)})
        except NameError: continue  # the row of another operation
        return named(**given), {row.cells['']: truth}, {}
    raise KeyError

def check(row, seed=0):
    "Run the code of a row, and compare its value and its shape."
    torch.manual_seed(seed)
    label = row.cells['']
    known = globals().get(f'chapter_{row.chapter}', lambda: from_record(row))
    try: names, truths, sizes, *own = known()
    except KeyError:
        code, cells = row.cells['code'].strip('`'), CHAPTERS[row.chapter].code
        assert any(re.sub(r'\s', '', code) in re.sub(r'\s', '', c) for c in cells), (
            f'{CHAPTERS[row.chapter].name}, In short: no cell runs `{code}`; let one assert it')
        return
    more = own[0].get(label, {}) if own else {}
    names = {'torch': torch, 'math': math, 'F': F, **names, **more}
    got, truth = run(row.cells['code'].strip('`'), names), truths[label]
    if callable(truth): assert truth(got), got
    elif isinstance(truth, list): assert list(got) == truth
    else:
        got, truth = (torch.as_tensor(t, dtype=torch.float64) for t in (got, truth))
        assert_close(got, truth, rtol=1e-6, atol=1e-9)
    shape = row.cells.get('shape', '').replace('one number', '()')
    if shape and sizes: assert torch.as_tensor(got).shape == eval(shape, {}, sizes)

@functools.cache
def anchors(notebook):
    "The anchors of a notebook's headings, as the site has them."
    nb = nbformat.read(ROOT/'nbs'/notebook, as_version=4)
    text = '\n\n'.join(c.source for c in nb.cells if c.cell_type == 'markdown')
    md = MarkdownIt('commonmark').use(anchors_plugin, max_level=3)
    return {t.attrs['id'] for t in md.parse(text) if t.type == 'heading_open' and 'id' in t.attrs}

ROWS = [pytest.param(row, id=f"{row.chapter} {row.cells['']}") for row in rows()]

@pytest.mark.parametrize('row', ROWS)
@pytest.mark.parametrize('seed', [0, 1])
def test_code_is_true(row, seed): check(row, seed)

@pytest.mark.parametrize('row', ROWS)
def test_links_lead_into_the_chapter(row):
    name = CHAPTERS[row.chapter].name
    links = re.findall(r'\]\(([\w.]+)#([\w-]+)\)', row.cells.get('derived in', ''))
    assert links, f'{name}, In short, {row.cells[""]!r}: say where it is derived, [here](#heading)'
    for notebook, anchor in links:
        assert notebook == f'{name}.ipynb' and anchor in anchors(notebook), anchor

def test_links_of_the_notation():
    links = re.findall(r'\]\(([\w.]+)(?:#([\w-]+))?\)', NOTATION.read_text(encoding='utf-8'))
    assert links
    for page, anchor in links:
        if page.endswith('.md'): assert (NOTATION.parent/page).exists() and not anchor
        else: assert anchor in anchors(page), anchor

def letters(text):
    "The letters in the formulas of Markdown, without those of words and of commands."
    text = re.sub(r'```.*?```|`[^`]*`', '', text, flags=re.S)
    tex = ' '.join(re.findall(r'\$\$.*?\$\$|\$[^$\n]+\$', text, re.S))
    tex = re.sub(r'\\(begin|end|text|mathbb|mathbf|mathcal)\{[^{}]*\}', ' ', tex)
    names = ('alpha|beta|gamma|[dD]elta|(var)?epsilon|[a-z]?eta|theta|kappa|lambda|mu|nu|xi|rho|'
             'sigma|tau|(var)?phi|psi|omega|ell')
    greek = {m[0] for m in re.finditer(rf'\\({names})\b', tex)}
    return greek | {*re.findall('[A-Za-z]', re.sub(r'\\[A-Za-z]+', ' ', tex))}

SHARED = letters(NOTATION.read_text(encoding='utf-8')) | {'e', 'd', 'T'}  # e^x, dy/dx, transposed

@pytest.mark.parametrize('nb', CHAPTERS.values(), ids=lambda nb: nb.name)
def test_every_letter_is_in_the_notation(nb):
    lacking = letters('\n\n'.join(nb.markdown)) - SHARED - letters('\n'.join(nb.letters))
    assert not lacking, (f'{nb.name}: {sorted(lacking)}; use a letter of the notation page, or '
                         'give it a row in the table | letter | of "In short"')

def test_letters():
    text = r'$\text{no} \cdot \frac{a_i}{\eta}$ `$x$` $$\begin{aligned} B \end{aligned}$$'
    assert letters(text) == {'a', 'i', 'B', r'\eta'}

def test_every_chapter_and_every_line():
    for n, nb in CHAPTERS.items():
        labels = [p.values[0].cells[''] for p in ROWS if p.values[0].chapter == n]
        assert labels, f'{nb.name}: add "In short" with a table | | formula | code | shape |'
        if f'chapter_{n}' in globals():
            assert sorted(labels) == sorted(globals()[f'chapter_{n}']()[1]), nb.name
        ops = [op for op in OPS.values() if op.backward.__module__ == f'backprop_nb.{nb.module}']
        want = sum(1 + len(op.wrt(op.inputs(Draw()))) for op in ops)
        assert len(labels) >= want, (f'{nb.name}, In short: {len(labels)} rows, want one for each '
                                     f'forward function and for each gradient, {want}')

@pytest.mark.parametrize('label, old, new', [
    ('05 weights', 'inp.t()', 'inp'), ('05 bias', 'sum(0)', 'mean(0)'),
    ('03 with upstream', 'out.g * ', ''), ('04 all entries', '(N, m)', '(m, N)'),
    ('08 squared error instead', '2/N', '1/N'),
    ('00 order', 'reversed(out.nodes())', 'out.nodes()'), ('10 first weights', '2/d', '1/d')])
def test_a_slip_is_found(label, old, new):
    row = next(p.values[0] for p in ROWS if p.id == label)
    slip = Row(row.chapter, {k: v.replace(old, new) for k, v in row.cells.items()})
    assert slip != row
    with pytest.raises((AssertionError, RuntimeError)): check(slip)
