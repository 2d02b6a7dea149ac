-- One digest over the standing verdicts.
from verdicts_digest()
