"""What a step is made of: its settings, and what it leaves on record."""
