"""Warm start: initial weights from a checkpoint, a SavedModel or a Keras file.

`sources` and `keras_file` read the values, `assignment` maps them to variables, `hook`
assigns them.
"""
