"""mkdocs hooks: publishes the files of the repository that the pages link to.

Pages link to files outside of docs/ as `../examples/x.py`, which works on GitHub. The
site gets a copy of each, at the same path below its root; a link to a file that does
not exist fails `mkdocs build --strict`. README.md becomes the page overview.md, because
mkdocs would take it for the index.
"""

import pathlib
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parents[1]

_LINK = re.compile(r'\]\(\.\./((?:[\w.-]+/)*[\w.-]+\.\w+)')
_PAGES = {'README.md': 'overview.md'}


def on_files(files, config):
    """Adds the files outside of docs/ that pages link to."""
    linked = {'README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'}
    for path in ROOT.glob('docs/**/*.md'):
        linked.update(_LINK.findall(path.read_text(encoding='utf-8')))
    for name in linked:
        linked = linked | set(_root_links(name))
    for name in sorted(linked):
        path = ROOT / name
        if path.is_file() and not name.startswith('docs/'):
            uri = _PAGES.get(name, name)
            files.append(
                File.generated(config, uri, content=path.read_text(encoding='utf-8'))
            )
    return files


def on_page_markdown(markdown, page, config, files):
    """Rewrites links to the places of the files in the site."""
    for name, uri in _PAGES.items():
        markdown = markdown.replace(f'](../{name}', f']({uri}')
    if page.file.generated_by or not page.file.abs_src_path:  # From the root.
        return re.sub(r'\]\((?:docs/|\./)', '](', markdown)
    return markdown.replace('](../', '](')


def _root_links(name):
    """Files outside of docs/ that a page in the root links to."""
    path = ROOT / name
    if path.suffix != '.md' or not path.is_file():
        return []
    text = path.read_text(encoding='utf-8')
    links = re.findall(r'\]\(((?:[\w.-]+/)*[\w.-]+\.\w+)', text)
    return [link for link in links if not link.startswith('docs/')]
