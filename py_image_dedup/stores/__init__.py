"""Where files and contents are kept: one seam (interface), one module per store."""
