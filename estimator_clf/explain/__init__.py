"""What a trained network sees: its weights, and what in an image decides.

`explainer.Explainer` holds a checkpoint ready; every other file is one kind of question
to it. Any model_fn of a classifier will do that predicts `logits` and `probabilities`
from `features['image']`.
"""
