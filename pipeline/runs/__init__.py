"""Runs: trained models in the store, the rows they were trained on, and their figures."""
