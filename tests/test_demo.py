"`python -m backprop_nb`: its table, its results, its picture, and what it refuses."
import dataclasses, os, re, subprocess, sys
import pytest, torch
from test_data import needs_real, real
import backprop_nb.__main__ as demo

def run(*args, **env):
    "What the command prints, its progress on stderr, and its exit code."
    r = subprocess.run([sys.executable, '-m', 'backprop_nb', *args], capture_output=True, text=True,
                       env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', **env})
    return r.stdout, r.stderr, r.returncode

def percent(text): return float(re.search(r'([\d.]+) %', text)[1])

def test_every_operation_has_a_row():
    rows = [name for name, _ in demo.gradient_table(torch.device('cpu'))]
    assert rows == [*demo.OPS, 'perceptron', 'convolutional network']

def test_table_shows_a_wrong_gradient(monkeypatch, capsys, tmp_path):
    def slip(inp, out): inp.g = out.g * (inp < 0)
    monkeypatch.setitem(demo.OPS, 'relu', demo.OPS['relu'])  # a record enters itself
    dataclasses.replace(demo.OPS['relu'], backward=slip)
    assert demo.main(['--device', 'cpu', '--out', str(tmp_path/'p.png')]) == 1
    out = capsys.readouterr().out
    assert re.search(r'^relu +1\.0e\+00  WRONG', out, re.M)
    assert re.search(r'^1 of \d+ are wrong: relu$', out, re.M)
    assert not (tmp_path/'p.png').exists()

@pytest.mark.parametrize('net, least', [('', 94), ('--conv', 97)])
def test_results_on_the_sample(net, least, tmp_path):
    out, err, code = run(*net.split(), '--out', str(tmp_path/'p.png'))
    assert code == 0, err
    assert re.search(r'all \d+ are right', out) and 'of 2,000 validation digits right' in out
    assert percent(out) >= least
    assert 'epoch' in err and '100%' in err
    assert (tmp_path/'p.png').read_bytes()[:4] == b'\x89PNG'

@needs_real
@pytest.mark.parametrize('net, least', [('', 98), ('--conv', 99)])
def test_results_on_all_of_mnist(net, least, tmp_path):
    out, err, code = run('--full', *net.split(), '--out', str(tmp_path/'p.svg'),
                         BACKPROP_NB_DATA=str(real))
    assert code == 0, err
    assert 'of 10,000 test digits right' in out and percent(out) >= least
    assert '<svg' in (tmp_path/'p.svg').read_text()

def test_same_seed_same_result(monkeypatch, tmp_path, capsys):
    def small(conv, full):
        model = demo.Model(demo.mlp(784, 10), demo.CrossEntropy())
        return model, demo.Adam(model.parameters()), 64, [(1e-3, 1)]
    monkeypatch.setattr(demo, 'network', small)
    monkeypatch.setattr(demo, '_table_is_right', lambda device: True)
    said = []
    for seed in '0', '0', '1', f'{2**63 - 1}':
        demo.main(['--device', 'cpu', '--seed', seed, '--out', str(tmp_path/'p.png')])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and len({*said}) == 3

def test_missing_mnist_says_what_to_do(monkeypatch, tmp_path):
    def missing(full): raise RuntimeError('MNIST is not in FOLDER')
    monkeypatch.setattr(demo, 'mnist', missing)
    monkeypatch.setattr(demo, '_table_is_right', lambda device: True)
    with pytest.raises(SystemExit, match='MNIST is not in FOLDER'):
        demo.main(['--full', '--device', 'cpu', '--out', str(tmp_path/'p.png')])

@pytest.mark.parametrize('args, says', [
    ('--device abacus', "no device 'abacus'"), ('--device meta', 'computes no numbers'),
    ('--device cuda:99', "no device 'cuda:99'"), ('--seed -1', "'-1' is not a whole number"),
    ('--seed 1.5', "'1.5' is not a whole number"), (f'--seed {2**63}', f'from 0 to {2**63 - 1}'),
    ('--out p.txt', "'p.txt' does not end in"),
    ('--out nowhere/p.png', "'nowhere/p.png' cannot be"),
    ('--epochs', 'unrecognized arguments')])
def test_refuses(args, says, capsys):
    with pytest.raises(SystemExit, match='^2$'): demo.main(args.split())
    out, err = capsys.readouterr()
    assert says in err and not out

def test_the_place_of_the_picture_is_tried_before(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    places = 'folder.png', 'below.png/a.png', 'n'*300 + '.png', '\0.png'
    (tmp_path/'folder.png').mkdir(); (tmp_path/'below.png').write_text('old')
    if hasattr(os, 'mkfifo'): os.mkfifo('pipe.png'); places += 'pipe.png',
    before = sorted(tmp_path.iterdir())
    for place in places:
        with pytest.raises(SystemExit, match='^2$'): demo.main(['--out', place])
        out, err = capsys.readouterr()
        assert 'cannot be written' in err and not out
    assert demo._picture('new.png').name == 'new.png' and sorted(tmp_path.iterdir()) == before
    assert demo._picture('below.png') and (tmp_path/'below.png').read_text() == 'old'
    (tmp_path/'link.png').symlink_to(tmp_path/'nothing.png')
    assert demo._picture('link.png') and (tmp_path/'link.png').is_symlink()
    def refuse(*args): raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr('builtins.open', refuse)
    with pytest.raises(SystemExit, match='^2$'): demo.main([])  # the default, in such a folder

def test_a_picture_that_fails_costs_a_line(tmp_path, monkeypatch):
    def full(*args): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(demo, '_train', full)
    monkeypatch.setattr(demo, '_table_is_right', lambda device: True)
    with pytest.raises(SystemExit, match='No space left'):
        demo.main(['--device', 'cpu', '--out', str(tmp_path/'p.png')])

def test_help(capsys):
    with pytest.raises(SystemExit, match='^0$'): demo.main(['--help'])
    said = set(capsys.readouterr().out.split())
    assert {'--full', '--conv', '--device', '--seed', '--out'} <= said
