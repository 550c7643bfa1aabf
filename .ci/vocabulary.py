"""Fails where a tracked text file uses a word from old_words.txt.

    python .ci/vocabulary.py [PATH...]

Prints `file:line: old word -> what to say` and exits 1 if there is any.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SUFFIXES = {'.py', '.md', '.flags', '.html', '.toml', '.yml', '.yaml', '.sh', '.c'}
# The list itself, and files that translate or document old names.
EXCLUDED = {
    '.ci/vocabulary.py',
    '.ci/old_words.txt',
    'CHANGELOG.md',
    'LICENSE',
    'estimator_clf/config/upgrade.py',
    'tests/estimator_clf/config/test_config_json.py',
    'tests/launch/parsing/test_flag_errors.py',
}
# Names of formats and third-party options that contain an old word.
ALLOWED = re.compile(r'image[_ -]folder|ImageFolder|local-folder', re.IGNORECASE)


def old_words() -> dict[str, str]:
    """Returns dict old word or phrase -> what to say instead."""
    words = {}
    for line in (
        (ROOT / '.ci' / 'old_words.txt').read_text(encoding='utf-8').splitlines()
    ):
        old, equals, new = line.partition('=')
        if equals and not line.startswith('#'):
            words[old.strip()] = new.strip()
    return words


def split_identifiers(line: str) -> str:
    """Writes `someName_of_it` as `some Name of it`, so that its words are found."""
    line = ALLOWED.sub(' ', line)
    line = re.sub(r'([a-z0-9])([A-Z])', r'\1 \2', line)
    return re.sub(r'[_\s]+', ' ', line)


def main(paths: list[str]) -> int:
    """Checks the files; returns the exit code."""
    words = old_words()
    either = '|'.join(map(re.escape, sorted(words, key=len, reverse=True)))
    pattern = re.compile(rf'(?<![A-Za-z])({either})(?![A-Za-z])', re.IGNORECASE)
    listed = subprocess.run(
        ['git', 'ls-files', '-co', '--exclude-standard', *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    count = 0
    for name in listed:
        path = ROOT / name
        checked = path.suffix in SUFFIXES or name in ('.ci/run', 'setup.py')
        if name in EXCLUDED or not checked or not path.is_file():
            continue
        text = path.read_text(encoding='utf-8')
        for number, line in enumerate(text.splitlines(), 1):
            for match in pattern.finditer(split_identifiers(line)):
                count += 1
                print(f'{name}:{number}: {match[1]!r} -> {words[match[1].lower()]}')
    return 1 if count else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
