"""Look: pages on which a person sees pictures and judges them, and a report that can be mailed."""
