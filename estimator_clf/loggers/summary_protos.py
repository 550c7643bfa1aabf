"""Summary protos of TensorBoard's plugins, made from values, not by ops."""

import io
from collections.abc import Sequence

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.plugins.pr_curve import summary as pr_curve_summary
from tensorboard.plugins.text import metadata as text_metadata

v1 = tf.compat.v1


def image(tag: str, image: Image.Image) -> tf.compat.v1.Summary:
    """Makes the summary of an RGB image."""
    buffer = io.BytesIO()
    image.save(buffer, 'PNG', optimize=True)
    value = v1.Summary.Image(
        width=image.width,
        height=image.height,
        colorspace=3,
        encoded_image_string=buffer.getvalue(),
    )
    return v1.Summary(value=[v1.Summary.Value(tag=tag, image=value)])


def text(tag: str, markdown: str) -> tf.compat.v1.Summary:
    """Makes the summary of a text in Markdown."""
    metadata = text_metadata.create_summary_metadata(display_name=None, description='')
    value = v1.Summary.Value(
        tag=tag,
        # TensorFlow does not accept TensorBoard's class of the same message.
        metadata=v1.SummaryMetadata.FromString(metadata.SerializeToString()),
        tensor=tf.make_tensor_proto(markdown.encode(), tf.string, shape=[]),
    )
    return v1.Summary(value=[value])


def pr_curve(
    tag: str,
    true_positives: np.ndarray,
    false_positives: np.ndarray,
    positives: int,
    negatives: int,
) -> tf.compat.v1.Summary:
    """Makes the summary of a precision-recall curve.

    Args:
      tag: its name in TensorBoard, which appends '/pr_curves'.
      true_positives: int64 [thresholds], at thresholds evenly spaced over [0, 1].
      false_positives: int64 [thresholds].
      positives: number of examples of the class.
      negatives: number of other examples.
    """
    tp, fp = true_positives, false_positives
    # Precision without positive predictions is 0, as in the plugin's own ops.
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


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str | int | float]]
) -> str:
    """Formats a table in Markdown; floats get four decimals."""

    def line(cells):
        texts = (f'{c:.4f}' if isinstance(c, float) else str(c) for c in cells)
        return '| ' + ' | '.join(_escaped(t) for t in texts) + ' |'

    numbers = [not isinstance(c, str) for c in (rows[0] if rows else header)]
    rule = '| ' + ' | '.join('---:' if n else '---' for n in numbers) + ' |'
    return '\n'.join([line(header), rule, *map(line, rows)])


def _escaped(cell):
    """Escapes the syntax of Markdown."""
    for sign in '\\|*_`<[':
        cell = cell.replace(sign, '\\' + sign)
    return ' '.join(cell.split())
