"""What every step runs on: processes, frameworks, and the terminal."""
