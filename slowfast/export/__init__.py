"""Networks as files that other runtimes execute: written, checked, read."""
