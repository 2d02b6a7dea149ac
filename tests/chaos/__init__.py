"""Harm done on purpose: kills, power cuts, full disks, damage, crowds, broken pictures. ``python -m tests.chaos`` does it.

A module per kind of harm, each with a function ``trials`` that gives named trials. A trial says what was lost.
"""
