"""What every step runs on: processes, frameworks, the terminal."""
