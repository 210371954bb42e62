"""The tools as modules, slowfast.tools.run_net and so on.

Their files are those of tools/: beside the package in a checkout, below this folder once installed.
"""

from slowfast.shipped import TOOLS

__path__ = [str(TOOLS)]
