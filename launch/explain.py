"""Shows what a trained network sees: images of weights, filters, reasons, dreams.

    python -m launch.explain --model_dir=RUN [--what=KIND,...] [IMAGE|DIR|GLOB...]

Writes a PNG for each kind, and the same as images for TensorBoard. Kinds:

  weights     what each pixel adds to each class (linear), or to each first unit (mlp)
  filters     the filters of the first convolution
  saliency    which pixels speak for the class: integrated gradients
  occlusion   where the class is lost if a patch covers the image
  maximize    the image that each class likes best, or each unit of --layer
  features    what --layer hands on, for each image
  dream       DeepDream: the image in which --layer sees more of what it sees already

Without images --count of the data that the run was evaluated on are taken.
"""

import os

from absl import flags as absl_flags

from launch import app, flags

FLAGS = flags.FLAGS

_KINDS = (
    'weights',
    'filters',
    'saliency',
    'occlusion',
    'maximize',
    'features',
    'dream',
)
_NAMES = (
    'model_dir',
    'what',
    'output_dir',
    'checkpoint',
    'data_dir',
    'split',
    'count',
    'class_name',
    'layer',
    'unit',
    'steps',
    'baseline',
    'patch',
    'stride',
    'smoothness',
    'sparsity',
    'dream_size',
    'seed',
    'device',
)


def define_flags():
    """Defines the flags of this program."""
    text, number = absl_flags.DEFINE_string, absl_flags.DEFINE_integer
    text('model_dir', None, 'Directory of the run.', required=True)
    absl_flags.DEFINE_list(
        'what', [], 'Kinds, see above. Default: what suits the network, but no dreams.'
    )
    text('output_dir', '', 'Where to write. Default: MODEL_DIR/explain.')
    flags.define_run('checkpoint', 'data_dir', 'device')
    text(
        'split',
        '',
        'Split to take images of. Default: what was evaluated, else train.',
    )
    number('count', 9, 'How many of them.', lower_bound=1)
    text('class_name', '', 'Class to explain. Default: the predicted one, or all.')
    text(
        'layer', '', "Layer, for maximize, features and dream; '?' lists all there are."
    )
    absl_flags.DEFINE_list(
        'unit', [], 'Numbers of units or channels of that layer. Default: the first.'
    )
    number(
        'steps',
        0,
        'Of saliency [64 to 1024], maximize [300], dream [20 a size].',
        lower_bound=0,
    )
    absl_flags.DEFINE_enum(
        'baseline', 'mean', ['mean', 'black'], 'saliency: the image of nothing.'
    )
    number(
        'patch',
        0,
        'occlusion: side in pixels. Default: a fifth of the shorter side.',
        lower_bound=0,
    )
    number(
        'stride',
        0,
        'occlusion: by how many pixels the patch moves. Default: a third of it.',
        lower_bound=0,
    )
    absl_flags.DEFINE_float(
        'smoothness', 0.7, 'maximize: more of it, fewer details.', lower_bound=0.0
    )
    absl_flags.DEFINE_float(
        'sparsity', 0.1, 'maximize: more of it, more of the mean color.', lower_bound=0
    )
    number(
        'dream_size',
        0,
        "dream: longest side in pixels. Default: the image's, from three times the "
        "network's to 256.",
        lower_bound=0,
    )
    number('seed', 0, 'Of all that is random.')


def main(arguments):
    """Explains as the flags say."""
    from estimator_clf.core.errors import ConfigError
    from estimator_clf.training import factory

    for kind in FLAGS.what:
        if kind not in _KINDS:
            raise ConfigError(f'--what must be of {", ".join(_KINDS)}, got {kind!r}')
    # One pass, one view: of several the gradient would be that of their average.
    config = factory.load_config(
        FLAGS.model_dir, data_dir=FLAGS.data_dir, eval_samples=1, export_tta=False
    )
    info = factory.load_info(FLAGS.model_dir)
    wish = _wish(config)

    from estimator_clf.core import devices

    devices.set_up(FLAGS.device)

    from estimator_clf.explain import render
    from estimator_clf.explain.explainer import Explainer
    from launch.terminal import table

    checkpoint = factory.checkpoint_of(FLAGS.model_dir, FLAGS.checkpoint)
    explainer = Explainer(factory.model_fn_maker(config)(info), checkpoint, info)
    if FLAGS.layer == '?':
        rows = [
            [layer.name, ' x '.join(map(str, layer.tensor.shape[1:]))]
            for layer in explainer.layers.values()
        ]
        print(table(['layer', 'outputs'], rows))
        return
    if FLAGS.layer:  # Before minutes of work.
        explainer.layer(FLAGS.layer)
    if FLAGS.class_name:
        explainer.class_number(FLAGS.class_name)
    kinds = FLAGS.what or render.usual_kinds(explainer)
    given = []
    if set(kinds) & set(render.IMAGE_KINDS):
        given = _images(arguments, config, info)
    directory = FLAGS.output_dir or os.path.join(FLAGS.model_dir, 'explain')
    step = explainer.step
    for path, figure in render.explain(explainer, kinds, wish, given, directory, step):
        for line in figure.said:
            app.log_message(line)
        print(path, flush=True)


def _wish(config):
    from estimator_clf.core.errors import ConfigError
    from estimator_clf.explain.options import Wish

    try:
        units = tuple(int(unit) for unit in FLAGS.unit)
    except ValueError:
        raise ConfigError(
            f'--unit must be whole numbers between commas, got {",".join(FLAGS.unit)!r}'
        ) from None
    if units and not FLAGS.layer:
        raise ConfigError('--unit is one of a layer: give its --layer, too')
    return Wish(
        layer=FLAGS.layer,
        units=units,
        class_name=FLAGS.class_name,
        steps=FLAGS.steps,
        baseline=FLAGS.baseline,
        patch=FLAGS.patch,
        stride=FLAGS.stride,
        smoothness=FLAGS.smoothness,
        sparsity=FLAGS.sparsity,
        dream_size=FLAGS.dream_size,
        max_pixels=config.max_pixels,
        seed=FLAGS.seed,
    )


def _images(arguments, config, info):
    """The images that are named, or some of the data."""
    from estimator_clf.explain import images
    from estimator_clf.training import factory

    decoder = factory.make_decoder(config, info)
    if arguments:
        from launch.predict import find_files

        return images.load(_files(find_files(arguments)), decoder)
    from estimator_clf.config.step_plan import evaluation_split
    from estimator_clf.loggers.corrupt_images import leave_out
    from launch.data_errors import translate_tf_errors

    source = factory.open_source(config, info)
    leave_out(source, config.max_corrupt_images, app.log_message)
    split = FLAGS.split or evaluation_split(config, source) or config.train_split
    if split not in source.num_examples:
        from estimator_clf.core.errors import ConfigError

        there = ', '.join(source.num_examples)
        raise ConfigError(f'--split must be one of {there}, got {split!r}')
    with translate_tf_errors(source):
        some = images.some_of(source, split, FLAGS.count)
        return images.load(some, decoder, source.corrupt_images)


def _files(paths):
    for path in paths:
        with open(path, 'rb') as file:
            yield path, file.read(), None


def _help():
    return __doc__ + '\n' + '\n'.join(map(flags.flag_help, _NAMES))


def run() -> None:
    """Runs the program on `sys.argv` and exits."""
    define_flags()
    app.run(main, _help)


if __name__ == '__main__':
    run()
