"""Show a store: pages to see and judge pictures, and a report that can be mailed.

``from pipeline.look import report``; ``report("coldframe-store")`` shows itself in a notebook.
"""

from pipeline.look.report import report as report
