"""What is done: one module a step, one folder a contract, ``cli`` on top. Steps meet through the store alone."""
