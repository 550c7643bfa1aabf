"""Summaries of TensorBoard's plugins, made of values rather than by ops."""

import io

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf
from tensorboard.plugins.pr_curve import summary as pr_curve_summary
from tensorboard.plugins.text import metadata as text_metadata

v1 = tf.compat.v1


def image(tag, picture):
    """Makes the summary of an image.

    Args:
      tag: its name in TensorBoard.
      image: `PIL.Image.Image`, in colors.

    Returns:
      `tf.compat.v1.Summary`.
    """
    buffer = io.BytesIO()
    picture.save(buffer, 'PNG', optimize=True)
    value = v1.Summary.Image(
        width=picture.width,
        height=picture.height,
        colorspace=3,
        encoded_image_string=buffer.getvalue(),
    )
    return v1.Summary(value=[v1.Summary.Value(tag=tag, image=value)])


def text(tag, markdown):
    """Makes the summary of a text.

    Args:
      tag: its name in TensorBoard.
      markdown: str.

    Returns:
      `tf.compat.v1.Summary`.
    """
    metadata = text_metadata.create_summary_metadata(display_name=None, description='')
    value = v1.Summary.Value(
        tag=tag,
        # TensorBoard's class of the same message, which TensorFlow's does not take.
        metadata=v1.SummaryMetadata.FromString(metadata.SerializeToString()),
        tensor=tf.make_tensor_proto(markdown.encode(), tf.string, shape=[]),
    )
    return v1.Summary(value=[value])


def pr_curve(tag, true_positives, false_positives, positives, negatives):
    """Makes the summary of a precision-recall curve.

    Args:
      tag: its name in TensorBoard, where '/pr_curves' is added to it.
      true_positives: int64 [thresholds], at thresholds spread evenly over [0, 1].
      false_positives: also.
      positives: int, examples of the class.
      negatives: int, the others.

    Returns:
      `tf.compat.v1.Summary`.
    """
    tp, fp = true_positives, false_positives
    # Where nothing is predicted to be of the class, the plugin's own ops have 0 too.
    return pr_curve_summary.raw_data_pb(
        tag,
        true_positive_counts=tp,
        false_positive_counts=fp,
        true_negative_counts=negatives - fp,
        false_negative_counts=positives - tp,
        precision=tp / (tp + fp).clip(min=1),
        recall=tp / max(positives, 1),
        num_thresholds=len(tp),
        display_name=tag,
    )


def markdown_table(header, rows):
    """Lays out a table in Markdown.

    Args:
      header: list of str.
      rows: list of lists of str, int or float; floats get four decimals.

    Returns:
      str.
    """

    def line(cells):
        texts = (f'{c:.4f}' if isinstance(c, float) else str(c) for c in cells)
        return '| ' + ' | '.join(_escaped(t) for t in texts) + ' |'

    numbers = [not isinstance(c, str) for c in (rows[0] if rows else header)]
    rule = '| ' + ' | '.join('---:' if n else '---' for n in numbers) + ' |'
    return '\n'.join([line(header), rule, *map(line, rows)])


def _escaped(cell):
    """A name may hold what Markdown takes for its own."""
    for sign in '\\|*_`<[':
        cell = cell.replace(sign, '\\' + sign)
    return ' '.join(cell.split())
