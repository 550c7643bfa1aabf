"""Explanations of a trained classifier: weights, attributions, feature visualization.

`explainer.Explainer` restores a checkpoint; the other modules compute one kind of
explanation each. They work with any model_fn of a classifier that predicts `logits` and
`probabilities` from `features['image']`.
"""
