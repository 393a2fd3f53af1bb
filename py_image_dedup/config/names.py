"""The names that lists of settings may hold, and hold by default."""

RULE_NAMES = (
    "higher-pixel-count",
    "lower-pixel-count",
    "more-exif-data",
    "less-exif-data",
    "bigger-file-size",
    "smaller-file-size",
    "newer-file-modification-date",
    "older-file-modification-date",
    "smaller-distance",
    "bigger-distance",
    "contains-copy-in-file-name",
    "doesnt-contain-copy-in-file-name",
    "longer-file-name",
    "shorter-file-name",
    "longer-path",
    "shorter-path",
    "longer-folder-path",
    "shorter-folder-path",
    "higher-score",
    "lower-score",
)

DEFAULT_RULES = (
    "higher-pixel-count",
    "more-exif-data",
    "bigger-file-size",
    "newer-file-modification-date",
    "smaller-distance",
    "doesnt-contain-copy-in-file-name",
    "longer-file-name",
    "shorter-folder-path",
    "higher-score",
)

RAW_EXTENSIONS = (
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw",
    ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip

DEFAULT_EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".heic", ".heif", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif",
    ".jpe", ".jfif", ".mpo", ".hif", ".jp2", ".j2k",
)  # fmt: skip
