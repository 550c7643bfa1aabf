"""Tests of benchmarks/plots.py."""

import json

import pytest
from PIL import Image


def test_plots_each_given_report(tmp_path):
    pytest.importorskip('matplotlib')  # From the extra `benchmarks`.
    from benchmarks import plots

    found = {'n': 3, 'median': 0.5, 'least': 0.4, 'most': 1.2}
    report = {'ratios': {'resize': {'torch_2': found, 'keras': found}, 'crop': {}}}
    path = tmp_path / 'input.json'
    path.write_text(json.dumps(report))
    plots.main([f'--input={path}', f'--output={tmp_path}'])
    with Image.open(tmp_path / 'performance-input.png') as image:
        image.load()
        assert min(image.size) > 100
        assert len(image.convert('RGB').getcolors(1 << 20)) > 10
    assert not (tmp_path / 'performance-training.png').exists()
