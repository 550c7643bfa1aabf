"""Checks an exported model against the predictions that its checkpoint made.

    python -m launch.check_export RUN/export

Every signature is fed the examples that lie in the export, the first alone and all
together; also looked at are the signatures' form, the labels, the warm-up requests, and
whether the graph names a directory of this machine. Of a directory of versions the last
counts. The exit code is 1 if something is wrong.
"""

from absl import flags as absl_flags

from launch import app, flags

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of this program."""
    absl_flags.DEFINE_float(
        'tolerance',
        None,
        'Largest difference of a probability. Default: what the export itself asks '
        'for, usually 1e-5.',
        lower_bound=0.0,
    )


def main(arguments):
    """Checks the directory that is named."""
    from estimator_clf.core.errors import ConfigError

    if len(arguments) != 1:
        raise ConfigError(
            'give one directory to check: python -m launch.check_export DIR'
        )

    from estimator_clf.core import devices
    from estimator_clf.export import newest, parity_check

    devices.set_up('cpu')
    path = newest(arguments[0])
    for line in parity_check.check(path, FLAGS.tolerance):
        print(line)
    print(f'{path} is as it should be')


def _help():
    return __doc__ + '\n' + flags.flag_help('tolerance')


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    define_flags()
    app.run(main, _help)


if __name__ == '__main__':
    run()
