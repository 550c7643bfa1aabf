"""Tests of the walk through directories of data."""

from tests.helpers.launching import run_program


def test_finding_images_does_not_import_tensorflow(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'')
    (tmp_path / 'b').write_bytes(b'\xff\xd8\xff')
    (tmp_path / 'c.txt').write_bytes(b'text')
    program = (
        'import sys\n'
        'from input.directories.walk import images_below\n'
        'from input.images import file_kind, first_look\n'
        f'print(len(list(images_below({str(tmp_path)!r}))))\n'
        "print('tensorflow' in sys.modules)\n"
    )
    assert run_program(program).split() == ['2', 'False']
