"""What a person sees of a run in TensorBoard, beyond its scalars.

Each part is usable on its own: a `EvalCallback` goes into any `Evaluator`, see there.
"""
