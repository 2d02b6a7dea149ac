"""Fine-tune: the last layers of a backbone."""
