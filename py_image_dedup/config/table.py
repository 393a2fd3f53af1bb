"""Every setting there is, once: key, parser, default and meaning.

Loading, environment variables, ``py_image_dedup_reference.yaml``, the tables in ``docs/configuration.md`` and
the command ``config`` follow from it.  To add a setting, add its entry here and its field in ``Settings``.
"""

from __future__ import annotations

from py_image_dedup.config import paths
from py_image_dedup.config import values as v
from py_image_dedup.config.entry import Entry
from py_image_dedup.config.names import DEFAULT_EXTENSIONS, DEFAULT_RULES, RULE_NAMES
from py_image_dedup.config.presets import PRESETS
from py_image_dedup.config.remote import REMOTE
from py_image_dedup.config.review import REVIEW

SECTIONS = {
    "analysis": "Which files are looked at, and how.",
    "deduplication": "What counts as a duplicate, which copy stays, and what becomes of the others.",
    "elasticsearch": "The Elasticsearch server, if there is one. max_distance holds for every store.",
    "daemon": "How `py-image-dedup daemon` watches the folders.",
    "remote": "Workers on other machines that describe pictures for this one.",
    "review": "The page of `py-image-dedup review`.",
    "stats": "Metrics for Prometheus, and probes, while the daemon runs.",
    "log": "What the daemon writes to stderr.",
}


def _secret(_: str) -> str:
    return v.HIDDEN


ENTRIES = (
    Entry(
        key="analysis.source_directories",
        parse=paths.folder,
        split=paths.split_folders,
        default=(),
        otherwise="none",
        example=("/home/myuser/pictures",),
        meaning="The folders to look at. Each must exist. Folders given to a command replace this list.",
    ),
    Entry(
        key="analysis.across_dirs",
        parse=v.boolean,
        default="false",
        meaning="Whether copies are also searched for between different source folders.",
    ),
    Entry(
        key="analysis.recursive",
        parse=v.boolean,
        default="true",
        meaning="Whether folders inside the source folders are looked at too.",
    ),
    Entry(
        key="analysis.file_extensions",
        parse=v.extension,
        split=v.split_commas,
        default=DEFAULT_EXTENSIONS,
        meaning="The file name extensions to look at, in lower or upper case, with or without the dot.",
    ),
    Entry(
        key="analysis.raw",
        parse=v.boolean,
        default="false",
        example="true",
        meaning="Whether cameras' raw files are looked at too, by the preview in them; needs the extra raw. Only the "
        "same bytes are duplicates of a raw file, the rest is similar. While it is off they go with the picture of "
        "their name.",
    ),
    Entry(
        key="analysis.exclusions",
        parse=v.pattern,
        split=v.split_commas,
        default=(),
        otherwise="none",
        example=(r".*/\.thumbnails/.*",),
        meaning="Regular expressions; a file or folder is left out when one is found anywhere in its absolute path.",
    ),
    Entry(
        key="analysis.include_hidden",
        parse=v.boolean,
        default="false",
        meaning="Whether files and folders whose name starts with a dot are looked at.",
    ),
    Entry(
        key="analysis.threads",
        parse=v.whole(1, 1024),
        otherwise="the number of CPUs that may be used",
        example="4",
        meaning="How many threads analyse pictures, compare signatures and look at pairs; "
        "many small files are analysed by as many processes.",
    ),
    Entry(
        key="analysis.use_exif_data",
        parse=v.boolean,
        default="true",
        meaning="Whether EXIF data is read, for the rules that compare it.",
    ),
    Entry(
        key="analysis.max_file_size",
        parse=v.size,
        default="1GB",
        meaning="Larger files are skipped. A number of bytes, or with a unit: 500MB, 2GB, 1GiB.",
    ),
    Entry(
        key="analysis.max_megapixels",
        parse=v.whole(1, 100_000),
        default="250",
        meaning="Pictures with more millions of pixels are skipped.",
    ),
    Entry(
        key="analysis.crops",
        parse=v.boolean,
        default="false",
        example="true",
        meaning="Whether windows of every picture are compared too, so that larger crops are shown as similar. Takes "
        "several times as long as comparing whole pictures.",
    ),
    Entry(
        key="analysis.orientations",
        parse=v.choice("off", "rotations", "all"),
        default="off",
        example="all",
        meaning="Which turned copies are looked for besides those that are upright by their EXIF data: none, those "
        "turned by 90, 180 or 270 degrees, or all, mirrored ones too.",
    ),
    Entry(
        key="deduplication.action",
        parse=v.choice("auto", "move", "trash", "delete", "hardlink", "reflink", "report"),
        default="auto",
        meaning="What becomes of duplicates: move, trash, delete, hardlink or reflink (byte-identical ones share "
        "their bytes with the copy that stays), report. auto moves them when there is a duplicates_target_directory, "
        "and else only reports them.",
    ),
    Entry(
        key="deduplication.delete_without_asking",
        parse=v.boolean,
        default="false",
        meaning="Whether the action delete may act without a question and without --yes.",
    ),
    Entry(
        key="deduplication.duplicates_target_directory",
        parse=paths.new_folder,
        example="/home/myuser/duplicates",
        meaning="The folder that duplicates are moved to, with their folder structure. Made when needed.",
    ),
    Entry(
        key="deduplication.max_file_modification_time_diff",
        parse=v.duration,
        otherwise="no limit",
        example="5m",
        meaning="Files whose modification times differ by more than this are not duplicates of each other.",
    ),
    Entry(
        key="deduplication.preset",
        parse=v.choice(*PRESETS),
        default="standard",
        meaning="Defaults that go together: exact (only what is the same), careful (small changes act, the rest is "
        "shown), standard, fast (shows less, for hundreds of thousands of pictures), thorough (turned and mirrored "
        "copies and larger crops too). What is set itself wins.",
    ),
    Entry(
        key="deduplication.prioritization_rules",
        parse=v.choice(*RULE_NAMES),
        split=v.split_rules,
        default=DEFAULT_RULES,
        example=DEFAULT_RULES,
        meaning="Which copy stays: the first rule that tells two files apart decides.",
    ),
    Entry(
        key="deduplication.protected_directories",
        parse=paths.folder,
        split=paths.split_folders,
        default=(),
        otherwise="none",
        example=("/home/myuser/pictures/originals",),
        meaning="Folders whose files are never moved or deleted; they may be the copy that stays. Each must exist.",
    ),
    Entry(
        key="deduplication.report_gain",
        parse=v.boolean,
        default="false",
        meaning="Whether table and plan tell what only the metadata of a lesser copy say (GPS position, description "
        "and so on), for which the files of all groups are read once more.",
    ),
    Entry(
        key="deduplication.review_distance",
        parse=v.fraction,
        default="0.45",
        example="0.3",
        meaning="Pictures up to this distance from the one that stays are shown as similar; those beyond max_distance "
        "only if they agree once they are laid over each other. 0 to 1.",
    ),
    Entry(
        key="elasticsearch.auto_create_index",
        parse=v.boolean,
        default="true",
        meaning="Whether missing indices are made.",
    ),
    Entry(
        key="elasticsearch.host",
        parse=v.host,
        example="localhost",
        hide=v.hide_login,
        meaning="The name or address of the server.",
    ),
    Entry(
        key="elasticsearch.port",
        parse=v.whole(1, 65535),
        default="9200",
        meaning="The port of the server.",
    ),
    Entry(
        key="elasticsearch.urls",
        parse=v.url,
        split=v.split_commas,
        default=(),
        otherwise="none",
        example=("https://localhost:9200",),
        hide=v.hide_login,
        meaning="The addresses of a cluster, each with its port; these win over host and port.",
    ),
    Entry(
        key="elasticsearch.index",
        parse=v.index_name,
        default="images",
        meaning="The first part of the names of the indices.",
    ),
    Entry(
        key="elasticsearch.max_distance",
        parse=v.fraction,
        default="0.25",
        example="0.1",
        meaning="Pictures up to this distance from each other may be duplicates. 0 to 1.",
    ),
    Entry(
        key="elasticsearch.user",
        parse=v.label,
        example="myuser",
        meaning="The user to log in as.",
    ),
    Entry(
        key="elasticsearch.password",
        parse=v.secret,
        hide=_secret,
        example="a secret",
        meaning="The password of the user.",
    ),
    Entry(
        key="elasticsearch.password_file",
        parse=paths.readable_file,
        example="/run/secrets/elasticsearch_password",
        meaning="A file that holds the password, to be given in place of it.",
    ),
    Entry(
        key="elasticsearch.api_key",
        parse=v.token,
        hide=_secret,
        example="a secret",
        meaning="An encoded API key, in place of user and password.",
    ),
    Entry(
        key="elasticsearch.api_key_file",
        parse=paths.readable_file,
        example="/run/secrets/elasticsearch_api_key",
        meaning="A file that holds the API key, to be given in place of it.",
    ),
    Entry(
        key="elasticsearch.ca_file",
        parse=paths.readable_file,
        otherwise="the authorities that Python trusts",
        example="/etc/ssl/certs/my-own-ca.pem",
        meaning="The certificate (PEM) of the authority that signed the server's.",
    ),
    Entry(
        key="elasticsearch.ca_fingerprint",
        parse=v.fingerprint,
        example="2f9a51c80e77643bd18c45e29910ab5d6e3fc728b40df186725ae9134cd8603e",
        meaning="The SHA-256 of the authority's certificate, or of the server's own, in place of ca_file.",
    ),
    Entry(
        key="elasticsearch.timeout",
        parse=v.some_time,
        default="30s",
        meaning="How long to wait for an answer.",
    ),
    Entry(
        key="daemon.processing_timeout",
        parse=v.duration,
        default="30s",
        meaning="How long files must stay unchanged before they are looked at.",
    ),
    Entry(
        key="daemon.file_observer",
        parse=v.choice("polling", "inotify"),
        default="inotify",
        meaning="How changes are noticed: inotify at once, on local disks (network mounts are polled all the same), "
        "polling by walking through the folders again and again.",
    ),
    Entry(
        key="daemon.full_pass_interval",
        parse=v.duration,
        default="1d",
        meaning="How often everything is gone through besides what changes. 0 for at the start only.",
    ),
    *REMOTE,
    *REVIEW,
    Entry(
        key="stats.enabled",
        parse=v.boolean,
        default="true",
        meaning="Whether metrics and probes are offered.",
    ),
    Entry(
        key="stats.host",
        parse=v.host,
        default="127.0.0.1",
        meaning="The address they are offered on; 0.0.0.0 for all, as in a container.",
    ),
    Entry(
        key="stats.port",
        parse=v.whole(1, 65535),
        default="8000",
        meaning="The port they are offered on.",
    ),
    Entry(
        key="log.format",
        parse=v.choice("text", "json"),
        default="text",
        meaning="Lines for people (text), or one JSON object per line (json).",
    ),
    Entry(
        key="dry_run",
        parse=v.boolean,
        default="true",
        meaning="Whether everything is only planned and shown, and no file is touched.",
    ),
    Entry(
        key="remove_empty_folders",
        parse=v.boolean,
        default="false",
        meaning="Whether folders that a run has emptied are removed.",
    ),
    Entry(
        key="store",
        parse=v.choice("auto", "sqlite", "elasticsearch"),
        default="auto",
        meaning="Where records are kept. auto is elasticsearch when its host or urls are set, else sqlite.",
    ),
    Entry(
        key="database",
        parse=paths.new_file,
        otherwise="`$XDG_DATA_HOME/py-image-dedup/signatures.sqlite`, with `~/.local/share` if unset",
        example="/var/lib/py-image-dedup/signatures.sqlite",
        meaning="The file of the store sqlite. With elasticsearch its folder holds what the last run compared.",
    ),
    Entry(
        key="state_directory",
        parse=paths.new_folder,
        otherwise="`$XDG_STATE_HOME/py-image-dedup`, with `~/.local/state` if unset",
        example="/var/lib/py-image-dedup",
        meaning="The folder of the journal, from which acts can be undone, and of decisions that last.",
    ),
    Entry(
        key="origin",
        parse=v.label,
        otherwise="the host name",
        example="nas",
        meaning="The name of the disk that holds the files. Machines that share it give the same name; a "
        "container should be given one, because its host name changes.",
    ),
)
