"""Validates a dataset before training: every file, every image.

    from input.validate import Report, check_data
    report = Report()
    counts = check_data({'name': 'image_folder', 'data_dir': 'images'}, report)
    print(report.levels())

`python -m launch.check_data` does the same on the command line.
"""

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

from input.validate.findings import KINDS, LEVELS
from input.validate.report import Finding, Report, lines_file
from input.validate.runner import check_data

__all__ = ['KINDS', 'LEVELS', 'Finding', 'Report', 'check_data', 'lines_file']
