"Package metadata, all of it read from `settings.ini`."
import re
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup

here = Path(__file__).resolve().parent
config = ConfigParser()
config.read(here / 'settings.ini', encoding='utf-8')
cfg = config['DEFAULT']

if cfg['license'] != 'apache2': raise ValueError(f"only apache2 is known, not {cfg['license']}")
status = ['Planning', 'Pre-Alpha', 'Alpha', 'Beta', 'Production/Stable'][int(cfg['status']) - 1]

# A package index shows the README outside of the repository and without mathematics: there,
# relative links become absolute, and its few short formulas become italics.
kind = {'!': 'raw', '': 'blob'}  # pictures, pages
readme = (here / 'README.md').read_text(encoding='utf-8')
readme = re.sub(r'(!?)\[[^][]*\]\((?!\w+:|#)',
                lambda m: f"{m[0]}{cfg['git_url']}/{kind[m[1]]}/{cfg['branch']}/", readme)
readme = re.sub(r'\$([^$`\n]+)\$', r'*\1*', readme)

setup(
    name=cfg['lib_name'],
    version=cfg['version'],
    description=cfg['description'],
    long_description=readme,
    long_description_content_type='text/markdown',
    author=cfg['author'],
    author_email=cfg['author_email'],
    url=cfg['git_url'],
    project_urls={
        'Documentation': cfg['doc_host'] + cfg['doc_baseurl'],
        'Changelog': f"{cfg['git_url']}/blob/{cfg['branch']}/CHANGELOG.md",
    },
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords=cfg['keywords'].split(),
    classifiers=[
        f"Development Status :: {cfg['status']} - {status}",
        f"Intended Audience :: {cfg['audience']}",
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',  # those of the tests on GitHub
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed',
    ],
    packages=[cfg['lib_path'], f"{cfg['lib_path']}.answers"],
    package_data={cfg['lib_path']: ['py.typed', '*.md', '*/*.md', 'mnist_sample/*', 'text/*']},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg['requirements'].split(),
    extras_require={k: cfg[f'{k}_requirements'].split() for k in ('lab', 'dev')},
    zip_safe=False,
)
