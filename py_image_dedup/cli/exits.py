"""Exit codes that no error class stands for."""

from typing import Final

EXIT_REFUSED: Final = 5
"""Some files could not be acted on; the rest was."""
EXIT_INTERRUPTED: Final = 130
EXIT_NO_READER: Final = 141
"""The reader of the output went away."""
