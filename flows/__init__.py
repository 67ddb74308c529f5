"""The pipeline's flows and its command line.

What they import is a million objects that stay. Python's collector would look through them again and again while they
are made and twice at the end, a tenth of the time of a short command: it looks less often, and once less at the end.
"""

import atexit
import gc

gc.set_threshold(10_000, 20, 20)
atexit.register(gc.disable)
