"""Checks an exported model against the predictions of its checkpoint.

    python -m launch.check_export RUN/export

Feeds every signature the examples in the export, the first one alone and all together;
also checks the form of the signatures, the labels, the warm-up requests, and that the
graph contains no path of this machine. In a directory of versions it checks the last
one. The exit code is 1 if something is wrong.
"""

from absl import flags as absl_flags

from launch import app, flags

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of this program."""
    absl_flags.DEFINE_float(
        'tolerance',
        None,
        'Maximum difference of a probability. Default: that of the export, usually '
        '1e-5.',
        lower_bound=0.0,
    )


def main(arguments: list[str]) -> None:
    """Checks the directory that the argument names."""
    from estimator_clf.core.errors import ConfigError

    if len(arguments) != 1:
        raise ConfigError(
            'give one directory to check: python -m launch.check_export DIR'
        )

    from estimator_clf.core.hardware import devices
    from estimator_clf.core.paths import resolve_path
    from estimator_clf.export import newest_version, parity_check

    devices.set_up('cpu')
    path = newest_version(resolve_path(arguments[0], 'the directory to check'))
    for line in parity_check.check(path, FLAGS.tolerance):
        print(line)
    print(f'{path} is valid')


def _help():
    return __doc__ + '\n' + flags.flag_help('tolerance')


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    define_flags()
    app.run(main, _help)


if __name__ == '__main__':
    run()
