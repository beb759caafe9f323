"""Tests meet the plain C on this host, which the definition is compared with; those of kernels ask for a kernel by name."""

import os

os.environ["EDGERNN_KERNEL"] = "plain"
