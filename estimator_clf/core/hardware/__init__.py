"""Devices, memory, instruction sets and numeric precision."""
