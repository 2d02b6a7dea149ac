"""Deploy: a run as an artefact, and predictions."""
