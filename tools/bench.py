"""Speed and memory of the hand-written gradients, as ratios measured in one run: `make bench`.

Each row times two ways in turn, round after round, and shows the median of the ratios. Below 1
the first way is the faster one. The bounds are aims, for two cores: which rows keep them depends on
the processor and on PyTorch. What is small takes as long as Python does; what is large, as the
products, which are the same ones on both sides. `nn.LSTM` has a fused kernel with products of its
own, and there the two products for each step alone can take longer than all of it."""
import multiprocessing, os, statistics, subprocess, sys, threading, time
from concurrent.futures import ProcessPoolExecutor

import psutil, torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm

from backprop_nb.__main__ import as_images, network
from backprop_nb.attention import (
    attention, attention_blocks, attention_blocks_grad, attention_grad, gelu, gelu_grad)
from backprop_nb.conv import conv2d, conv2d_grad
from backprop_nb.data import mnist
from backprop_nb.embedding import embedding, embedding_grad
from backprop_nb.gpt import GPT, AdamW
from backprop_nb.linear import lin
from backprop_nb.module import Lin, Model, Mse, Relu
from backprop_nb.mse import mse
from backprop_nb.network import forward_and_backward
from backprop_nb.norm import (
    batch_norm, batch_norm_grad, layer_norm, layer_norm_grad, rms_norm, rms_norm_grad)
from backprop_nb.recurrent import clip_grads, lstm, lstm_grad, rnn, rnn_grad
from backprop_nb.relu import relu
from backprop_nb.softmax import CrossEntropy
from backprop_nb.training import SGD, History, accuracy, fit, mlp


def seconds(f, n=1):
    start = time.perf_counter()
    for _ in range(n): f()
    return (time.perf_counter() - start) / n


def ratio(ours, theirs, rounds, n=1):
    "Median over the rounds of seconds(ours) / seconds(theirs), and the median seconds of both."
    for f in ours, theirs: seconds(f, max(2, n // 5))
    pairs = [(seconds(ours, n), seconds(theirs, n))
             for _ in tqdm(range(rounds), leave=False, disable=None)]
    return statistics.median(a / b for a, b in pairs), *map(statistics.median, zip(*pairs))


def peak_mb(f):
    "The most memory in MB that `f` takes above what the process held before."
    me, done = psutil.Process(), threading.Event()
    held = [me.memory_info().rss]

    def watch():
        while not done.wait(0.0005): held.append(me.memory_info().rss)
    watcher = threading.Thread(target=watch)
    watcher.start(); f(); done.set(); watcher.join()
    return (max(held) - held[0]) / 1e6


def setting(n):
    "A batch of `n` digits in shape, and the parameters of the network 784-50-1."
    torch.manual_seed(0)
    x, y = torch.rand(n, 784), torch.randint(10, (n,)).float()
    w1, b1 = torch.randn(784, 50) * (2/784)**0.5, torch.zeros(50)
    w2, b2 = torch.randn(50, 1) * (2/50)**0.5, torch.zeros(1)
    return x, y, w1, b1, w2, b2


def large_batch():
    "The network on 50,000 digits, against autograd and against its matrix products alone."
    x, y, w1, b1, w2, b2 = setting(50_000)
    leaves = [t.clone().requires_grad_() for t in (x, w1, b1, w2, b2)]
    model = Model([Lin(w1, b1), Relu(), Lin(w2, b2)], Mse())
    g = torch.randn(50_000, 50)

    def autograd(x, *params):
        inputs = [t for t in (x, *params) if t.requires_grad]
        w1, b1, w2, b2 = params
        torch.autograd.grad(mse(lin(relu(lin(x, w1, b1)), w2, b2), y), inputs)

    def step(): model(x, y); model.backward()
    def bare_products(): x @ w1; x.t() @ g
    def products(): torch.addmm(b1, x, w1); x.t() @ g
    def three_products(): products(); g @ w1.t()

    yield ('50,000 digits, all five gradients / autograd', 1.03,
           ratio(lambda: forward_and_backward(x, y, w1, b1, w2, b2), lambda: autograd(*leaves), 15))
    yield ('50,000 digits, all five / its three large products', None,
           ratio(lambda: forward_and_backward(x, y, w1, b1, w2, b2), three_products, 15))
    yield ('50,000 digits, four parameters / autograd', 1.03,
           ratio(step, lambda: autograd(x, *leaves[1:]), 31))
    yield ('50,000 digits, four / its two large products, as called', 1.12,
           ratio(step, products, 31))
    yield ('50,000 digits, four / the same without the bias', None,
           ratio(step, bare_products, 31))


def small_batches():
    "Forward and backward on 1 and on 64 digits, against `nn.Sequential` with autograd."
    for n, repeats in (1, 400), (64, 200):
        x, y, *params = setting(n)
        model = Model([Lin(*params[:2]), Relu(), Lin(*params[2:])], Mse())
        net, loss = nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 1)), nn.MSELoss()
        column = y[:, None]

        def ours(): model(x, y); model.backward()
        def theirs(): net.zero_grad(); loss(net(x), column).backward()
        yield (f'batch of {n}, forward and backward / nn.Sequential', 0.75,
               ratio(ours, theirs, 31, repeats))


def our_step(layers=(784, 50, 10)):
    "A model of ours with its optimizer, and the function that takes one step of training."
    torch.manual_seed(0)
    model = Model(mlp(*layers), CrossEntropy())
    opt = SGD(model.parameters(), lr=0.1)

    def step(x, y): model(x, y); model.backward(); opt.step()
    return model, opt, step


def forgetful_step():
    "The same for the compiler: a step that ends by forgetting what nobody asks for."
    model, _, step = our_step()
    step(torch.rand(1, 784), torch.zeros(1, dtype=torch.int64))     # settles what is held

    def whole(x, y): step(x, y); model.clear()
    return whole


def torch_step(wrap=lambda f: f):
    "The same step by `nn.Sequential`, autograd and `torch.optim.SGD`; `wrap` may compile the loss."
    net = nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 10))
    loss = nn.CrossEntropyLoss()
    opt, forward = torch.optim.SGD(net.parameters(), lr=0.1), wrap(lambda x, y: loss(net(x), y))

    def step(x, y): opt.zero_grad(); forward(x, y).backward(); opt.step()
    return step


def jax_step():
    "The same step by JAX, jitted, from and to its own arrays; None where JAX is not installed."
    try: import jax, jax.numpy as jnp
    except ImportError: return None

    def loss(params, x, y):
        w1, b1, w2, b2 = params
        logp = jax.nn.log_softmax(jnp.maximum(x @ w1 + b1, 0) @ w2 + b2)
        return -logp[jnp.arange(len(y)), y].mean()

    @jax.jit
    def update(params, x, y):
        return [p - 0.1*g for p, g in zip(params, jax.grad(loss)(params, x, y))]
    held = [[jnp.asarray(p.numpy()) for p in our_step()[0].parameters()]]

    def step(x, y): held[0] = jax.block_until_ready(update(held[0], x, y))
    step.array = lambda t: jnp.asarray(t.numpy())
    return step


def tried(made, *batch):
    "The compiled step `made` on this batch, run once; None where nothing can be compiled."
    try: made(*batch)
    except Exception as e: print(f'torch.compile does not work here: {type(e).__name__}')
    else: return lambda: made(*batch)


def training_steps():
    "Forward, backward and update of 784-50-10 with cross-entropy and SGD, by batch size."
    for n, bound, of_jax, repeats in ((1, 0.60, 1.5, 300), (64, 0.75, 0.6, 150),
                                      (1024, 1.02, 0.8, 20)):
        batch = torch.rand(n, 784), torch.randint(10, (n,))
        (_, _, step), their_step = our_step(), torch_step()
        def ours(): step(*batch)
        def theirs(): their_step(*batch)
        what = f'training step, batch of {n}'
        yield f'{what} / nn.Sequential and optim.SGD', bound, ratio(ours, theirs, 31, repeats)
        jitted, fast = jax_step(), tried(torch.compile(forgetful_step()), *batch)
        if fast:
            yield f'{what}, compiled / nn.Sequential', None, ratio(fast, theirs, 15, repeats)
            their_fast = tried(torch_step(torch.compile), *batch)
            yield f'{what} / torch.compile', None, ratio(ours, their_fast, 15, repeats)
            yield (f'{what}, compiled / torch.compile', None,
                   ratio(fast, their_fast, 15, repeats))
        if jitted:
            arrays = [jitted.array(t) for t in batch]
            def jax(): jitted(*arrays)
            yield f'{what} / JAX, jitted', None, ratio(ours, jax, 15, repeats)
            if fast:
                yield f'{what}, compiled / JAX, jitted', of_jax, ratio(fast, jax, 15, repeats)
        else: print(f'{what} / JAX: not installed')


def epoch():
    "One epoch over the 10,000 digits of the sample in batches of 64: `fit` and the usual loop."
    data = mnist().train
    model, opt, _ = our_step()
    theirs, loader = torch_step(), DataLoader(data, batch_size=64, shuffle=True)

    def usual():
        for x, y in loader: theirs(x, y)
    yield ('one epoch by fit / DataLoader, nn.Sequential, optim.SGD', None,
           ratio(lambda: fit(model, opt, data, 1, progress=False), usual, 11))


def convolutions():
    "Forward and both gradients of a 3 x 3 convolution with a border of zeros, against autograd."
    sizes = (64, 1, 28, 8, 1.0), (64, 8, 14, 16, 1.0), (64, 32, 28, 64, 1.2)
    for N, C, size, filters, bound in sizes:
        torch.manual_seed(0)
        x, w, b = torch.rand(N, C, size, size), torch.randn(filters, C, 3, 3), torch.zeros(filters)
        up = torch.randn(N, filters, size, size)
        leaves = [t.clone().requires_grad_() for t in (x, w, b)]

        def ours():
            out = conv2d(x, w, b, 1, 1)
            out.g = up
            conv2d_grad(x, out, w, b, 1, 1)

        def theirs(): torch.autograd.grad(F.conv2d(*leaves, padding=1), leaves, up)
        yield (f'convolution ({N}, {C}, {size} x {size}), {filters} filters / autograd', bound,
               ratio(ours, theirs, 21, 5 if C < 32 else 1))


def plain_layer_norm(x, w, b):
    "The formula as the chapter has it."
    mu = x.mean(-1, keepdim=True)
    return w * (x - mu) / (((x - mu)**2).mean(-1, keepdim=True) + 1e-5).sqrt() + b


def plain_rms_norm(x, w): return w * x / ((x**2).mean(-1, keepdim=True) + 1e-6).sqrt()


def plain_batch_norm(x, w, b):
    axes = [0, *range(2, x.dim())]
    w, b = (t.view(-1, *[1]*(x.dim() - 2)) for t in (w, b))
    mu = x.mean(axes, keepdim=True)
    return w * (x - mu) / (((x - mu)**2).mean(axes, keepdim=True) + 1e-5).sqrt() + b


def norms():
    """Forward and backward of the norms, against autograd on torch's own function and on the
    formula. Torch's own keeps mean and r for the way back, and stays with a row while it is in the
    cache. Ours takes both anew (layer norm by one fused call), makes no table of u, since the two
    means are products with the factors, and writes into the normed table what is left to do."""
    kinds = [(layer_norm, layer_norm_grad, plain_layer_norm, -1, 2,
              lambda x, w, b: F.layer_norm(x, w.shape, w, b)),
             (rms_norm, rms_norm_grad, plain_rms_norm, -1, 1,
              lambda x, w: F.rms_norm(x, w.shape, w, 1e-6)),
             (batch_norm, batch_norm_grad, plain_batch_norm, 1, 2,
              lambda x, w, b: F.batch_norm(x, None, None, w, b, True))]
    for shape in (64, 784), (12, 64, 128), (64, 32, 14, 14):
        for f, back, plain, axis, n, fused in kinds:
            torch.manual_seed(0)
            x, up, params = torch.randn(shape), torch.randn(shape), torch.randn(n, shape[axis])
            params = [*params]
            leaves = [t.clone().requires_grad_() for t in (x, *params)]

            def ours(f=f, back=back):
                out = f(x, *params)
                out.g = up
                back(x, out, *params)

            def auto(f): return lambda: torch.autograd.grad(f(*leaves), leaves, up)
            for against, bound, theirs in ("torch's own", 1.5, fused), ('the formula', 0.7, plain):
                yield (f'{f.__name__} {shape} / {against}', bound,
                       ratio(ours, auto(theirs), 21, 5 if len(shape) > 3 else 40))


def lookups(V):
    "768 rows of a table (V, 128), and what arrives for them."
    torch.manual_seed(0)
    return torch.randint(V, (768,)), torch.randn(V, 128), torch.randn(768, 128)


def embeddings():
    "Looking up 768 rows and the gradient of the table, against autograd and against one-hot rows."
    idx, w, up = lookups(50_000)
    leaf = w.clone().requires_grad_()

    def ours(): embedding_grad(idx, embedding_of(idx, w, up), w)
    def theirs(): torch.autograd.grad(F.embedding(idx, leaf), leaf, up)
    yield ('embedding, 768 of 50,000 x 128 / autograd', 1.05, ratio(ours, theirs, 21, 5))
    idx, w, up = lookups(5000)

    def product():
        one_hot = F.one_hot(idx, 5000).float()
        return one_hot @ w, one_hot.t() @ up
    yield ('one-hot rows, 768 of 5,000 x 128 / embedding', None,
           ratio(product, lambda: embedding_grad(idx, embedding_of(idx, w, up), w), 11))


def embedding_of(idx, w, up):
    "The rows, at which `up` has arrived."
    out = embedding(idx, w)
    out.g = up
    return out


def table_mb(way):
    "Peak memory of the gradient of a table (50,000, 128), by 'ours' or 'autograd'."
    idx, w, up = lookups(50_000)
    if way == 'autograd':
        out = F.embedding(idx, w.requires_grad_())
        return peak_mb(lambda: torch.autograd.grad(out, w, up))
    out = embedding_of(idx, w, up)
    return peak_mb(lambda: embedding_grad(idx, out, w))


def recurrent_nets():
    "Forward and all gradients of 16 steps, against `nn.RNN` and `nn.LSTM` with autograd."
    N, T, d, m = 32, 16, 64, 64
    for kind, forward, backward, gates, bound in [(nn.RNN, rnn, rnn_grad, 1, 1.0),
                                                  (nn.LSTM, lstm, lstm_grad, 4, 1.1)]:
        torch.manual_seed(0)
        net = kind(d, m, batch_first=True)
        w_x, w_h, b, _ = [p.detach().t().contiguous() for p in net.parameters()]
        x, up = torch.randn(N, T, d), torch.randn(N, T, m)
        first = [torch.randn(N, m) for _ in range(1 if gates == 1 else 2)]
        leaves = [t.clone().requires_grad_() for t in (x, *first)]
        wanted = [*leaves, *net.parameters()]

        def ours():
            out = forward(x, *first, w_x, w_h, b)
            out.g = up
            backward(x, out, *first, w_x, w_h, b)

        def theirs():
            state = [s[None] for s in leaves[1:]]
            out, _ = net(leaves[0], state if len(state) > 1 else state[0])
            torch.autograd.grad(out, wanted, up)
        yield (f'{forward.__name__} ({N}, {T}, {d}), {m} units / nn.{kind.__name__}', bound,
               ratio(ours, theirs, 21, 10))


def gpt_of(heads=4, layers=4):
    "nanoGPT's recipe for a processor: 12 texts of 64 symbols, width 128, tied; model and letters."
    torch.manual_seed(0)
    model = Model([GPT(65, 64, 128, heads, layers)], CrossEntropy())
    return model, torch.randint(65, (2, 12, 64))


def gpt_loss(P, idx, targ, heads=4, layers=4, norm='layer'):
    "The same network in torch's own, fused operations; `P` has weights (outputs, inputs)."
    (N, T), C = idx.shape, P['table'].shape[1]
    def normed(x, n):
        if norm == 'rms': return F.rms_norm(x, (C,), P[n + '.w'], 1e-6)
        return F.layer_norm(x, (C,), P[n + '.w'], P[n + '.b'])
    def dense(x, n): return F.linear(x, P[n + '.w'], P[n + '.b'])
    x = F.embedding(idx, P['table']) + P['places'][:T]
    for k in range(layers):
        at, mlp = f'layers.{k}.attend', f'layers.{k}.mlp'
        joined = dense(normed(x, f'{at}.0'), f'{at}.1.qkv').view(N, T, 3, heads, C//heads)
        q, k, v = joined.permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + dense(found, f'{at}.1.proj')
        x = x + dense(F.gelu(dense(normed(x, f'{mlp}.0'), f'{mlp}.1')), f'{mlp}.3')
    scores = F.linear(normed(x, f'layers.{layers}'), P.get('head', P['table']))
    return F.cross_entropy(scores.flatten(0, 1), targ.flatten())


def turned(P):
    "Our parameters by name, weights as `nn.Linear` has them."
    return {n: p.t() if n.endswith('.w') and p.dim() == 2 else p for n, p in P.items()}


def for_autograd(gpt):
    return {n: p.clone(memory_format=torch.contiguous_format).requires_grad_()
            for n, p in turned(dict(gpt.named_parameters())).items()}


def gpt_steps(way, compiled=False):
    "One step of training by 'ours' or 'autograd'; forward and backward may be compiled."
    model, (idx, targ) = gpt_of()
    how = dict(lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    if way == 'ours':
        params, clip = model.parameters(), clip_grads
        opt = AdamW(params, **how)
        def forth_and_back(): model(idx, targ); model.backward()
        def forgetful(): forth_and_back(); model.clear(gradients=False)
        if compiled: forth_and_back()           # settles what is held
        both = torch.compile(forgetful) if compiled else forth_and_back
    else:
        P, clip = for_autograd(model.layers[0]), nn.utils.clip_grad_norm_
        params = [*P.values()]
        opt = torch.optim.AdamW(params, **how)
        def forth(): return gpt_loss(P, idx, targ)
        loss = torch.compile(forth) if compiled else forth
        def both(): opt.zero_grad(); loss().backward()

    def step(): both(); clip(params, 1.); opt.step()
    return step


def gpts():
    "A training step of a GPT: forward, backward, clipping and AdamW."
    what, theirs = 'GPT, 4 blocks of width 128, 12 texts of 64', gpt_steps('autograd')
    yield f'{what} / autograd', 1.10, ratio(gpt_steps('ours'), theirs, 31, 3)
    fast, their_fast = [tried(gpt_steps(way, True)) for way in ('ours', 'autograd')]
    if fast and their_fast:
        yield f'{what}, compiled / autograd', 0.86, ratio(fast, theirs, 15, 3)
        yield f'{what}, compiled / autograd, compiled', 0.92, ratio(fast, their_fast, 15, 3)


def gpt_mb(way):
    "Peak memory of a step of training, the first, by 'ours' or 'autograd'."
    return peak_mb(gpt_steps(way))


def attentions():
    "Forward and gradients of 4 causal heads, and of gelu, against autograd on fused functions."
    N, H, T, d = 12, 4, 64, 32
    torch.manual_seed(0)
    q, k, v, up = torch.randn(4, N, H, T, d)
    x, up_x = torch.randn(2, N, T, 4 * H * d)
    mask = torch.ones(T, T, dtype=torch.bool).tril()
    leaves, leaf = [t.clone().requires_grad_() for t in (q, k, v)], x.clone().requires_grad_()

    def ours():
        out = attention(q, k, v, mask)
        out.g = up
        attention_grad(q, out, k, v, mask)

    def theirs():
        out = F.scaled_dot_product_attention(*leaves, is_causal=True)
        torch.autograd.grad(out, leaves, up)
    yield f'attention ({N}, {H}, {T}, {d}) / autograd', 1.3, ratio(ours, theirs, 21, 10)

    def ours():
        out = gelu(x)
        out.g = up_x
        gelu_grad(x, out)

    def theirs(): torch.autograd.grad(F.gelu(leaf), leaf, up_x)
    yield f'gelu ({N}, {T}, {4 * H * d}) / autograd', None, ratio(ours, theirs, 21, 10)


def table_or_blocks_mb(way):
    "Peak memory of causal attention, forward and backward, T = 4,096, by 'table' or 'blocks'."
    torch.manual_seed(0)
    q, k, v, up = torch.randn(4, 4096, 32)

    def blocks():
        out = attention_blocks(q, k, v, True)
        out.g = up
        attention_blocks_grad(q, out, k, v, True)

    def table():
        mask = torch.ones(4096, 4096, dtype=torch.bool).tril()
        out = ((q @ k.mT) / 32**.5).masked_fill_(~mask, float('-inf')).softmax(-1) @ v
        out.g = up
        attention_grad(q, out, k, v, mask)
    return peak_mb(blocks if way == 'blocks' else table)


def backward_mb(way):
    "Peak memory of one backward pass for four parameters, 50,000 digits, by 'ours' or 'autograd'."
    x, y, *params = setting(50_000)
    if way == 'autograd':
        loss = mse(lin(relu(lin(x, *(p.requires_grad_() for p in params[:2]))),
                       *(p.requires_grad_() for p in params[2:])), y)
        return peak_mb(lambda: torch.autograd.grad(loss, params))
    model = Model([Lin(*params[:2]), Relu(), Lin(*params[2:])], Mse())
    model(x, y)
    return peak_mb(model.backward)


def memory(way, measure=backward_mb):
    "`measure` in a fresh process, where nothing that was freed before can be used again."
    with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as fresh:
        return fresh.submit(measure, way).result()


def import_ms():
    "Milliseconds that `import backprop_nb.all` takes after `import torch`, in a fresh interpreter."
    code = ('import time, torch; t = time.perf_counter(); import backprop_nb.all; '
            'print(1000 * (time.perf_counter() - t))')
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONDONTWRITEBYTECODE'}   # keeps .pyc
    run = lambda: float(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                                       check=True, env=env).stdout)
    run()
    return statistics.median(run() for _ in range(5))


def learned(conv):
    "Seconds in which a network of `python -m backprop_nb` learns the sample, and its accuracy."
    torch.manual_seed(0)
    if not conv: torch.set_num_threads(1)  # as `python -m backprop_nb` does
    (train, valid, _), (model, opt, batch_size, plan) = mnist(), network(conv)
    if conv: train, valid = as_images(train), as_images(valid)
    start, history = time.perf_counter(), History()
    for opt.lr, epochs in plan:
        fit(model, opt, train, epochs, None, batch_size, 0, history, progress=False)
    return time.perf_counter() - start, accuracy(model, valid)


def verdict(value, bound):
    return ' '*12 if bound is None else f'{bound:8.2f}' + (' ok ' if value <= bound else ' OVER')


if __name__ == '__main__':
    print(f'torch {torch.__version__}, {torch.get_num_threads()} threads\n')
    print(f'{"":58}{"ratio":>7}{"bound":>8}')
    for rows in (large_batch, small_batches, training_steps, epoch, convolutions, norms,
                 embeddings, recurrent_nets, attentions, gpts):
        for name, bound, (r, a, b) in rows():
            print(f'{name:58}{r:7.2f}{verdict(r, bound)}   ({1e3*a:.3g} ms / {1e3*b:.3g} ms)')
    ours, theirs = memory('ours'), memory('autograd')
    print(f'\nbackward pass, 50,000 digits: {ours:.0f} MB at the peak, autograd {theirs:.0f} MB')
    ours, theirs = memory('ours', table_mb), memory('autograd', table_mb)
    print(f'gradient of a table 50,000 x 128: {ours:.0f} MB at the peak, autograd {theirs:.0f} MB '
          f'(bound 1.05: {"ok" if ours <= 1.05*theirs else "OVER"})')
    ours, theirs = memory('ours', gpt_mb), memory('autograd', gpt_mb)
    print(f'a step of a GPT: {ours:.0f} MB at the peak, autograd {theirs:.0f} MB '
          f'(bound 1.00: {"ok" if ours <= theirs else "OVER"})')
    ours, theirs = memory('blocks', table_or_blocks_mb), memory('table', table_or_blocks_mb)
    print(f'attention, T = 4,096: {ours:.0f} MB at the peak in blocks, with the table {theirs:.0f} '
          f'MB (bound 1/8: {"ok" if 8*ours <= theirs else "OVER"})')
    ms = import_ms()
    ok = 'ok' if ms <= 60 else 'OVER'
    print(f'import of the core after torch: {ms:.0f} ms (bound 60 ms: {ok})')
    networks = ('perceptron', False, 10, 94), ('convolutional network', True, 20, 97)
    for name, conv, most, least in networks:
        took, right = learned(conv)
        ok = 'ok' if took <= most and 100*right >= least else 'MISSED'
        print(f'{name} on the sample: {100*right:.1f} % of the validation digits '
              f'after {took:.1f} s (at least {least} % in {most} s: {ok})')
