"""Conversion of any dataset to sharded TFRecords."""
