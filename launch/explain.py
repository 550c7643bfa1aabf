"""Explains a trained network: weights, filters, attributions, dreams.

    python -m launch.explain --model_dir=RUN [--what=KIND,...] [IMAGE|DIR|GLOB...]

Writes a PNG file for each kind, and the same images for TensorBoard. Kinds:

  weights     contribution of each pixel to each class (linear) or first unit (mlp)
  filters     filters of the first convolution
  saliency    attribution of the class score to pixels, by integrated gradients
  occlusion   drop of the class probability where a patch covers the image
  maximize    image that maximizes each class, or each unit of --layer
  features    feature maps of --layer for each image
  dream       DeepDream: amplifies the patterns that --layer detects in each image

Without images, --count examples of the split that the run evaluates are explained.
"""

import os
from collections.abc import Iterable, Iterator

from absl import flags as absl_flags

from launch import app, flags
from launch.parsing import path_flags

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


def define_flags() -> None:
    """Defines the flags of this program."""
    text, number = absl_flags.DEFINE_string, absl_flags.DEFINE_integer
    path_flags.define_path('model_dir', help='Directory of the run.', required=True)
    absl_flags.DEFINE_list(
        'what',
        [],
        'Kinds, see above. Default: those that suit the network, except dream.',
    )
    path_flags.define_path(
        'output_dir', '', 'Output directory. Default: MODEL_DIR/explain.'
    )
    flags.define_run('checkpoint', 'data_dir', 'max_image_pixels', 'device')
    text(
        'split',
        '',
        'Split to take images from. Default: the evaluated split, or else train.',
    )
    number('count', 9, 'Number of images from the split.', lower_bound=1)
    text('class_name', '', 'Class to explain. Default: the predicted one, or all.')
    text('layer', '', "Layer, for maximize, features and dream; '?' lists all layers.")
    absl_flags.DEFINE_list(
        'unit', [], 'Units or channels of --layer, by number. Default: the first ones.'
    )
    number(
        'steps',
        0,
        'Number of steps. Default: saliency 64 to 1024, maximize 300, dream 20 per '
        'size.',
        lower_bound=0,
    )
    absl_flags.DEFINE_enum(
        'baseline', 'mean', ['mean', 'black'], 'saliency: color of the baseline image.'
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
        'occlusion: step of the patch in pixels. Default: a third of --patch.',
        lower_bound=0,
    )
    absl_flags.DEFINE_float(
        'smoothness', 0.7, 'maximize: weight of the total variation.', lower_bound=0.0
    )
    absl_flags.DEFINE_float(
        'sparsity',
        0.1,
        'maximize: weight of the distance from the mean color.',
        lower_bound=0,
    )
    number(
        'dream_size',
        0,
        "dream: longest side in pixels. Default: the image's, from three times the "
        "network's to 256.",
        lower_bound=0,
    )
    number('seed', 0, 'Seed of all random numbers.')


def main(arguments: list[str]) -> None:
    """Explains as the flags say."""
    from estimator_clf.core.errors import ConfigError
    from estimator_clf.training.saved_runs import (
        find_checkpoint,
        load_config,
        load_info,
    )

    for kind in FLAGS.what:
        if kind not in _KINDS:
            raise ConfigError(f'--what must be of {", ".join(_KINDS)}, got {kind!r}')
    # A single forward pass: gradients of an average over several would differ.
    config = load_config(
        FLAGS.model_dir,
        data_dir=FLAGS.data_dir,
        max_image_pixels=FLAGS.max_image_pixels,
        eval_samples=1,
        export_tta=False,
    )
    info = load_info(FLAGS.model_dir)
    options = _options(config)

    from estimator_clf.core.hardware import devices

    devices.set_up(FLAGS.device)

    from estimator_clf.explain import render
    from estimator_clf.explain.explainer import Explainer
    from estimator_clf.training.models import build_model_fn
    from launch.output.terminal import table

    checkpoint = find_checkpoint(FLAGS.model_dir, FLAGS.checkpoint)
    explainer = Explainer(build_model_fn(config, info), checkpoint, info)
    if FLAGS.layer == '?':
        rows = [
            [layer.name, ' x '.join(map(str, layer.tensor.shape[1:]))]
            for layer in explainer.layers.values()
        ]
        print(table(['layer', 'outputs'], rows))
        return
    # Checked here, since the explanations can take minutes.
    if FLAGS.layer:
        explainer.layer(FLAGS.layer)
    if FLAGS.class_name:
        explainer.class_index(FLAGS.class_name)
    kinds = FLAGS.what or render.default_kinds(explainer)
    images = []
    if set(kinds) & set(render.IMAGE_KINDS):
        images = _load_images(arguments, config, info)
    directory = FLAGS.output_dir or os.path.join(FLAGS.model_dir, 'explain')
    for path, figure in render.write_figures(
        explainer, kinds, options, images, directory, explainer.step
    ):
        for message in figure.messages:
            app.log_message(message)
        print(path, flush=True)


def _options(config):
    from estimator_clf.core.errors import ConfigError
    from estimator_clf.explain.options import ExplainOptions

    try:
        units = tuple(int(unit) for unit in FLAGS.unit)
    except ValueError:
        raise ConfigError(
            '--unit must be comma-separated whole numbers, got '
            f'{",".join(FLAGS.unit)!r}'
        ) from None
    if units and not FLAGS.layer:
        raise ConfigError('--unit requires --layer')
    return ExplainOptions(
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
        max_pixels=config.data.max_image_pixels,
        seed=FLAGS.seed,
    )


def _load_images(arguments, config, info):
    """Loads the images given as arguments, or examples of the data."""
    from estimator_clf.explain import images
    from estimator_clf.training.models import build_decoder

    decoder = build_decoder(config, info)
    if arguments:
        from launch.predict import find_files

        return images.load_images(_read_files(find_files(arguments)), decoder)
    from estimator_clf.config.step_plan import evaluation_split
    from estimator_clf.core.tf_errors import translate_tf_errors
    from estimator_clf.loggers.corrupt_images import skip_corrupt_images
    from estimator_clf.training.data.datasets import open_source

    source = open_source(config, info)
    skip_corrupt_images(source, config.data.max_corrupt_images, app.log_message)
    split = FLAGS.split or evaluation_split(config, source) or config.data.train_split
    if split not in source.num_examples:
        from estimator_clf.core.errors import ConfigError

        splits = ', '.join(source.num_examples)
        raise ConfigError(f'--split must be one of {splits}, got {split!r}')
    with translate_tf_errors([source]):
        examples = images.sample_examples(source, split, FLAGS.count)
        return images.load_images(examples, decoder, source.corrupt_images)


def _read_files(paths: Iterable[str]) -> Iterator[tuple[str, bytes, None]]:
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
