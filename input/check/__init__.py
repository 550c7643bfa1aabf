"""Looks a data set over before a training: every file, every picture.

    from input.check import Report, check_data
    report = Report()
    counts = check_data({'name': 'image_folder', 'data_dir': 'pictures'}, report)
    print(report.levels())

`python -m launch.check_data` is the same from the command line.
"""

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

from input.check.check import check_data  # noqa: I001
from input.check.kinds import KINDS, LEVELS
from input.check.report import Finding, Report, lines_file

__all__ = ['KINDS', 'LEVELS', 'Finding', 'Report', 'check_data', 'lines_file']
