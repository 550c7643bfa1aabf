"""Weights to begin with from elsewhere: a checkpoint, a SavedModel, a Keras file.

A module for each part: `rules` (which variables, under which names), `sources` and
`keras_file` (where the values lie), `plan` (what goes where), `hook` (puts it there).
"""
