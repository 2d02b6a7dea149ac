"""Show a store: pages to see and judge pictures, and a report that can be mailed."""
