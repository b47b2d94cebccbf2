"""Several processes train as one does: real ones, which meet on this machine at a free port. This
file is also the script that each of them runs; a launch does many checks, for it takes seconds."""
import io, json, os, socket, subprocess, sys, time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
import pytest, torch
import torch.distributed as dist
import backprop_nb.__main__ as demo
from backprop_nb.all import *

needs_gloo = pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()),
                                reason='this PyTorch has no torch.distributed with gloo')

# ---- what the processes do

def doubled(model):
    for t in model.state().values():
        if t.is_floating_point(): t.data = t.data.double()
    return model

def perceptron(seed=0):
    torch.manual_seed(seed)
    return doubled(Model(mlp(5, 4, 3), CrossEntropy()))

def tiny_gpt(seed=0):
    torch.manual_seed(seed)
    return doubled(Model([GPT(7, 4, 6, 2, 1)], CrossEntropy()))

def batches(x, y):
    "Twenty batches of 11, 7, 2 and 1 examples, and again."
    return [(x.split([11, 7, 2, 1])[k % 4], y.split([11, 7, 2, 1])[k % 4]) for k in range(20)]

def data(seed=0):
    torch.manual_seed(seed)
    text = torch.randint(7, (21, 5))
    return (torch.randn(21, 5).double(), torch.randint(3, (21,))), (text[:, :-1], text[:, 1:])

def numbers(model): return torch.cat([p.flatten() for p in model.parameters()]).tolist()

def trained(model, opt, examples):
    losses = []
    for x, y in batches(*examples):
        losses.append(model(x, y).item())
        model.backward()
        clip_grads(opt.params, .5)
        opt.step()
    return losses + numbers(model)

def split(make, **settings):
    model = perceptron()
    opt = Sharded(make, model.parameters(), **settings)
    for x, y in batches(*data()[0]):
        x, y = share(x), share(y)
        if len(x):
            model(x, y)
            model.backward()
        opt.step(len(x))
    return numbers(model)

def by_hand():
    "Gradients of a share, put together in buckets of several sizes."
    found = []
    for bucket in 1, 7, 2**22:
        model, (x, y) = perceptron(), data()[0]
        model(share(x), share(y))
        model.backward()
        reduce_grads(model.parameters(), len(share(x)), bucket)
        found += torch.cat([p.g.flatten() for p in model.parameters()]).tolist()
    return found

def scaled():
    "Something arrives at the loss of the whole batch."
    model = Parallel(perceptron())
    model(*data()[0]).g = torch.tensor(3.).double()
    model.backward()
    return torch.cat([p.g.flatten() for p in model.parameters()]).tolist()

def normed():
    "Evaluation and buffers of a model that starts otherwise on each rank."
    torch.manual_seed(place()[0])
    model = Model([Lin(torch.randn(5, 3), torch.randn(3)), LayerNorm(3)], CrossEntropy())
    return numbers(Parallel(model))

def dtypes():
    a, b = torch.ones(3), torch.ones(2, 2).double()
    n = place()[0] + 1
    return [t.tolist() for t in all_mean([a * n, b * n, a * n], n)]

def training():
    "All that has to come out as in one process."
    rank = place()[0]
    net, gpt = Parallel(perceptron(rank)), Parallel(tiny_gpt(rank))
    plain, text = data()
    return dict(
        sgd=trained(net, SGD(net.parameters(), .1, .9), plain),
        adamw=trained(gpt, AdamW(gpt.parameters(), .01, weight_decay=.1), text),
        split_sgd=split(SGD, lr=.1, momentum=.9), split_adam=split(Adam, lr=.01),
        split_adamw=split(AdamW, lr=.01, weight_decay=.1),
        by_hand=by_hand(), scaled=scaled(), normed=normed())

def refusals():
    "What each rank says; and after all of it the group still works."
    rank, said = place()[0], []
    def ask(f, *args):
        try: f(*args)
        except Exception as e: said.append(f'{type(e).__name__}: {e}')
        else: said.append('nothing')
    ask(all_mean, [torch.zeros(3 + (rank == 1))], 1)
    ask(all_mean, [torch.zeros(3, dtype=torch.float64 if rank == 1 else torch.float32)], 1)
    ask(all_mean, [torch.zeros(3)], 0)
    p = torch.zeros(3)
    if rank != 1: p.g = torch.ones(3)
    ask(reduce_grads, [p], 1)
    ask(Sharded(SGD, [p], lr=.1).step, 1)
    ask(Parallel, Model([Lin(torch.randn(5, 3), torch.zeros(3)), BatchNorm(3)], CrossEntropy()))
    ask(Parallel, Model(mlp(5, 3 + rank), CrossEntropy()))
    ask(reduce_grads, [p], int(rank != 1))              # without examples it needs no gradient
    return said

def small(conv, full):
    model = Model(mlp(784, 10), CrossEntropy())
    return model, Adam(model.parameters()), 60, [(1e-3, 1)]

def demos(folder):
    "What the command prints, and on stderr, for digits and for plays."
    demo._table_is_right, demo.network = lambda device: True, small
    said = []
    plays = f'--gpt --steps 3 --sample 20 --save {folder}/g.safetensors'
    for line in f'--out {folder}/p.png', plays:
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            assert demo.main(['--device', 'cpu', *line.split()]) == 0
        said += [out.getvalue(), err.getvalue() > '']
    return said

def dies(folder, how):
    "A training of the command, in the third step of which rank 1 is no more."
    demo._table_is_right, step, count = lambda device: True, AdamW.step, [0]
    demo._PATIENCE = 15 if how == 'hangs' else 60
    def last(opt):
        count[0] += 1
        if count[0] == 3 and os.environ['RANK'] == '1': ways[how]()
        step(opt)
    ways = dict(killed=lambda: os.kill(os.getpid(), 9), hangs=lambda: time.sleep(200))
    AdamW.step = last
    demo.main(['--gpt', '--device', 'cpu', '--steps', '9', '--save', f'{folder}/g.safetensors'])

def everything(folder):
    with together(60): return dict(training=training(), dtypes=dtypes(), refusals=refusals(),
                                   demos=demos(folder))

# ---- how they are started

def launch(f, *args, ranks):
    "Run `f` of this file in so many processes: what each prints, on stderr, and its exit code."
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    env = {**os.environ, 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port),
           'WORLD_SIZE': str(ranks), 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '',
           'PYTHONPATH': os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, f.__name__, *map(str, args)]
    started = [subprocess.Popen(command, env=env | {'RANK': str(r)}, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for r in range(ranks)]
    found = []
    try:
        for p in started:                               # when one has failed, nobody waits for more
            found.append((*p.communicate(timeout=300), p.returncode))
            if p.returncode:
                for other in started: other.kill()
    finally:
        for p in started: p.kill()
    return found

if __name__ == '__main__':
    torch.set_num_threads(1)
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
    sys.exit()

# ---- what is wanted of them

@pytest.fixture(scope='module')
def three(tmp_path_factory):
    "What each of three ranks gives, and the folder into which they write."
    folder = tmp_path_factory.mktemp('three')
    done = launch(everything, folder, ranks=3)
    assert [code for *_, code in done] == [0, 0, 0], [err[-2000:] for _, err, _ in done]
    return [json.loads(out) for out, *_ in done], folder

@needs_gloo
def test_as_one_process(three):
    "The losses on the way and all parameters after 20 steps, on batches down to a single example."
    for name, alone in training().items():
        got = [torch.tensor(r['training'][name], dtype=torch.float64) for r in three[0]]
        want = torch.tensor(alone, dtype=torch.float64)
        assert len(want) > 10 and want.isfinite().all()
        torch.testing.assert_close(got[0], want, rtol=1e-12, atol=1e-12)
        for other in got[1:]: assert torch.equal(got[0], other), name

@needs_gloo
def test_several_dtypes(three):
    mean = sum(n * n for n in (1, 2, 3)) / 6
    for r in three[0]:
        got = [torch.tensor(t) for t in r['dtypes']]
        torch.testing.assert_close(got, [torch.full(s, mean) for s in ((3,), (2, 2), (3,))])

@needs_gloo
def test_refused_on_all_ranks(three):
    "Nobody waits for somebody who has refused, and the next message arrives."
    said = [r['refusals'] for r in three[0]]
    for r, lines in enumerate(said):
        shapes, kinds, none, missing, split, norm, other, good = lines
        for line in shapes, kinds, other:
            assert line.startswith('ShapeError: ') and 'rank 1 has tensors of different' in line
        assert none.startswith('RangeError: all_mean: no rank has an example')
        for who, line in ('reduce_grads', missing), ('Sharded', split):
            if r == 1: assert line.startswith(f'UpstreamError: {who}: params[0] (3,) has no')
            else: assert line.startswith(f'RankError: {who}: rank 1 has refused')
        assert norm.startswith('ArgumentError: Parallel: BatchNorm') and good == 'nothing'

@needs_gloo
def test_the_command_as_one_process(three, tmp_path):
    "The same lines from rank 0, nothing from the others, and the same files, written once."
    ranks, folder = three
    alone = demo._table_is_right, demo.network
    try: want = demos(tmp_path)
    finally: demo._table_is_right, demo.network = alone
    assert ranks[0]['demos'] == want and 'validation digits right' in want[0]
    assert all(r['demos'] == ['', False]*2 for r in ranks[1:])
    assert sorted(p.name for p in folder.iterdir()) == ['g.safetensors', 'p.png']
    (one, symbols), (other, again) = [demo._kept_gpt(f/'g.safetensors') for f in (folder, tmp_path)]
    assert symbols == again
    for p, q in zip(one.parameters(), other.parameters()): torch.testing.assert_close(
        p, q, rtol=0, atol=1e-3)                    # float32, and Adam divides small by small

@needs_gloo
@pytest.mark.parametrize('how', ['killed', 'hangs'])
def test_a_rank_that_is_lost(how, tmp_path):
    "The other one ends with a line that says so, within the time that it waits, and has no file."
    (out, err, code), (*_, gone) = launch(dies, tmp_path, how, ranks=2)
    assert code == 1 and gone != 0
    last = err.strip().split('\n')[-1]
    assert last == ('all_mean: another rank has ended, or did not come or answer in time '
                    '(clinic: ranks)')
    assert 'Traceback' not in err and not [*tmp_path.iterdir()]

@needs_gloo
def test_by_torchrun(tmp_path):
    "The command, by PyTorch's launcher; the table of gradients is printed once."
    args = ('-m torch.distributed.run --standalone --nproc-per-node 2 -m backprop_nb --gpt '
            '--steps 2 --sample 9 --prompt OPHELIA --device cpu')
    r = subprocess.run([sys.executable, *args.split()], cwd=tmp_path, text=True,
                       capture_output=True, env={
                           **os.environ, 'OMP_NUM_THREADS': '1',
                           'PYTHONPATH': str(Path(demo.__file__).parents[1])})
    assert r.returncode == 0, r.stderr
    assert r.stdout.count(' are right') == r.stdout.count('perplexity') == 1
    assert r.stdout.count('OPHELIA') == 1 and not [*tmp_path.iterdir()]

# ---- in one process

def test_alone_nothing_changes():
    "`Parallel` is the model, `share` everything, and an optimizer that is split the optimizer."
    assert place() == (0, 1)
    with together() as alone: assert alone == (0, 1)
    x, y = data()[0]
    assert torch.equal(share(x), x)
    tensors = [torch.randn(3)]
    assert all_mean(tensors, 2) is tensors
    plain = perceptron()
    opt = AdamW(plain.parameters(), .01, weight_decay=.1)
    for xb, yb in batches(x, y):
        plain(xb, yb)
        plain.backward()
        opt.step()
    assert split(AdamW, lr=.01, weight_decay=.1) == numbers(plain)

def test_names_have_a_batch_norm(monkeypatch, capsys):
    monkeypatch.setenv('WORLD_SIZE', '2')
    with pytest.raises(SystemExit, match='^2$'): demo.main(['--names'])
    assert 'learns in one process' in capsys.readouterr().err

def test_only_rank_0_tries_where_it_will_write(monkeypatch, tmp_path):
    monkeypatch.setenv('RANK', '1')
    for place in 'a.png', 'nowhere/a.png': assert demo._picture(str(tmp_path/place))
    assert not [*tmp_path.iterdir()]

def test_nobody_comes(monkeypatch):
    "The first of two ranks waits no longer than it was told to."
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    where = dict(RANK=0, WORLD_SIZE=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    for name, value in where.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(RankError, match='^together: another rank'):
        with together(1): pass
    assert place() == (0, 1)
