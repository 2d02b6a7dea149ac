-- One digest over what persons keep and drop.
from verdicts_digest()
