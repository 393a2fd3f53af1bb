"""Text, as people write it in YAML, the environment or an option, into checked values.

A parser takes one text and returns a value, or raises :class:`Refused` with what it accepts instead.  Nothing
here knows which key the text belongs to or where it was written: the caller puts that in front of the reason.
"""

from __future__ import annotations

import ast
import difflib
import ipaddress
import os
import re
import urllib.parse
import warnings
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import NamedTuple

Parser = Callable[[str], object]
Splitter = Callable[[object], object]

ROOT = "py_image_dedup"
PREFIX = "PY_IMAGE_DEDUP_"
HIDDEN = "(hidden)"


class Override(NamedTuple):
    """A value given on the command line, and the option that gave it."""

    option: str
    value: object


class Given(NamedTuple):
    """What was written for a key: the text (or list), how to call the place in a message, and its source."""

    raw: object
    place: str
    source: str


def variable(key: str) -> str:
    """Return the name of the environment variable of a dotted key."""
    return PREFIX + key.replace(".", "_").upper()


class Refused(ValueError):
    """A value is not accepted; says what is.  ``part`` is the item at fault where a list was given."""

    def __init__(self, reason: str, *, part: object = None) -> None:
        super().__init__(reason)
        self.part = part


def read(raw: object, parse: Parser, split: Splitter | None) -> object:
    """Turn what was written for one key into its value: one text, or (with ``split``) a list of texts."""
    if split is None:
        return parse(_one_text(raw))
    items = split(raw)
    if not isinstance(items, list):
        raise Refused("it must be a list")
    # An empty item is a stray dash or comma.  As a pattern it would exclude every file.
    return tuple(dict.fromkeys(_item(item, parse) for item in items if item not in (None, "")))


def _item(item: object, parse: Parser) -> object:
    try:
        return parse(_one_text(item))
    except Refused as refused:
        raise type(refused)(str(refused), part=item) from None


def _one_text(raw: object) -> str:
    if not isinstance(raw, str):
        raise Refused("it must be a single value")
    return raw


def suggest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest known name, or nothing when none is close."""
    names = list(known)
    close = [other for other in names if other.rpartition(".")[2] == name.rpartition(".")[2]]
    close = close or difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


# Lists, or one text that stands for a list


def split_commas(raw: object) -> object:
    """Split at commas, but not inside brackets, so that the pattern ``a{2,3}`` stays whole."""
    if not isinstance(raw, str):
        return raw
    return literal_list(raw) or [part.strip() for part in re.split(r",(?![^][(){}]*[])}])", raw)]


def split_rules(raw: object) -> object:
    """Take plain names, or what py-image-dedup 2 wanted: dictionaries, written as in Python or YAML."""
    items = split_commas(raw)
    if not isinstance(items, list):
        return items
    return [item["name"] if isinstance(item, dict) and list(item) == ["name"] else item for item in items]


def literal_list(text: str) -> list[object]:
    """Read ``["a", "b"]``, the way to write items with commas; an empty list if the text is no such thing."""
    if not text.lstrip().startswith(("[", "{")):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python frowns at "\d"; the backslash is meant for a pattern
            value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return []
    items = list(value) if isinstance(value, list | tuple) else [value]
    return (items or [""]) if all(isinstance(item, str | dict) for item in items) else []


# Single values


def boolean(text: str) -> bool:
    """Accept the words for yes and no that YAML 1.1, YAML 1.2 and container-app-conf know."""
    words = {"true": True, "yes": True, "on": True, "y": True, "t": True, "1": True}
    words |= {"false": False, "no": False, "off": False, "n": False, "f": False, "0": False}
    value = words.get(text.strip().lower())
    if value is None:
        raise Refused("it must be true or false")
    return value


def whole(low: int, high: int) -> Parser:
    """Accept a whole number of this range."""

    def parse(text: str) -> int:
        if re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", text) and low <= int(text) <= high:
            return int(text)
        raise Refused(f"it must be a whole number from {low} to {high}")

    return parse


def fraction(text: str) -> float:
    """Accept a number from 0 to 1, or a percentage."""
    number, percent = re.subn(r"%\s*$", "", text)
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:  # also true of NaN
        raise Refused("it must be a number from 0 to 1")
    return value + 0.0  # turns -0.0 into 0.0


_AMOUNT = re.compile(
    r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*"
    r"(?:(w)(?:ks?|eeks?)?|(d)(?:ays?)?|(h)(?:rs?|ours?)?|(m)(?:ins?|inutes?)?|(s)(?:ecs?|econds?)?)[\s,]*(?![a-z])"
)
_CLOCK = re.compile(r"(?:(?:([0-9]{1,9}):)?([0-9]{1,9}):)?([0-9]{1,2}):([0-9]{2}(?:\.[0-9]{1,9})?)")
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}


def duration(text: str) -> timedelta:
    """Accept ``30s``, ``5m``, ``1h30m``, ``2 days``, ``0:05:00`` (hours first) or plain seconds."""
    try:
        seconds = _seconds(text.strip().lower())
        if seconds is not None:
            return timedelta(seconds=seconds)
    except OverflowError:
        pass
    raise Refused("it must be a length of time such as 30s, 5m, 1h30m, 0:05:00 or a number of seconds")


def _seconds(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    total, rest = 0.0, text
    while match := _AMOUNT.match(rest):
        total += float(match[1]) * _SECONDS[match[match.lastindex or 0]]
        rest = rest[match.end() :]
    if match := _CLOCK.fullmatch(rest):
        parts = zip("dhms", match.groups(), strict=True)
        return total + sum(float(part) * _SECONDS[unit] for unit, part in parts if part)
    return total if text and not rest else None


def some_time(text: str) -> timedelta:
    """Accept a duration longer than nothing."""
    value = duration(text)
    if not value:
        raise Refused("it must be longer than zero, such as 30s")
    return value


def size(text: str) -> int:
    """Accept bytes, plain or as ``500MB`` (millions) or ``500MiB`` (1024 x 1024)."""
    match = re.fullmatch(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*(?:([kmgt])(i?))?b?\s*", text, re.IGNORECASE)
    if match:
        step = 1024 if match[3] else 1000
        value = int(float(match[1]) * step ** (" kmgt".index((match[2] or " ").lower())))
        if value >= 1:
            return value
    raise Refused("it must be a size such as 500MB, 2GB or a number of bytes")


def choice(*names: str) -> Parser:
    """Accept one of these words."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in names:
            raise Refused(f"it must be one of {', '.join(names)}{suggest(word, names)}")
        return word

    return parse


def label(text: str) -> str:
    """Accept a name of up to 200 printable characters."""
    if not text.strip() or len(text) > 200 or not text.isprintable():
        raise Refused("it must be a name of 1 to 200 printable characters")
    return text.strip()


def secret(text: str) -> str:
    """Accept any text that fits on one line."""
    if not text or re.search(r"[\0\r\n]", text):
        raise Refused("it must be text on one line")
    return text


def token(text: str) -> str:
    """Accept what can stand in a header of a request."""
    if not re.fullmatch(r"[!-~]+", text):
        raise Refused("it must be ASCII characters without spaces")
    return text


def fingerprint(text: str) -> str:
    """Accept a SHA-256 in hex, with colons or without."""
    plain = text.strip().replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise Refused("it must be a SHA-256: 64 hexadecimal digits, with or without colons")
    return plain


def extension(text: str) -> str:
    """Accept ``jpg``, ``.jpg`` or ``.JPG``; all mean ``.jpg``."""
    match = re.fullmatch(r"\s*\.?([\w+-]+)\s*", text)
    if not match:
        raise Refused("it must be a file extension such as .jpg")
    return f".{match[1].lower()}"


def pattern(text: str) -> re.Pattern[str]:
    """Accept a regular expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a pattern may be frowned upon and still work
            return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise Refused(f"it must be a regular expression ({error})") from None


# Elasticsearch


def host(text: str) -> str:
    """Accept a host name or an IP address, without scheme or port."""
    name = text.strip().removeprefix("[").removesuffix("]")
    if re.fullmatch(r"[\w-]+(\.[\w-]+)*\.?", name) or _is_ipv6(name):
        return name
    raise Refused(
        "it must be a host name or an IP address; the port has a key of its own, whole addresses go into urls"
    )


def _is_ipv6(name: str) -> bool:
    try:
        return ipaddress.IPv6Address(name).scope_id is None
    except ValueError:
        return False


def url_of(name: str, port: int) -> str:
    """Return the address of a host and a port."""
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def url(text: str) -> str:
    """Accept ``http://host:port`` or ``https://...``, with ``user:password@`` and a path if need be."""
    address = text.strip().rstrip("/")
    if not address.isprintable() or " " in address or not _is_address(address):
        raise Refused("it must be an address with its port, such as https://localhost:9200")
    return address


def broker(text: str) -> str:
    """Accept the address of a Redis or of a RabbitMQ."""
    return _server(text, "redis", "rediss", "amqp", "amqps")


def redis(text: str) -> str:
    """Accept the address of a Redis."""
    return _server(text, "redis", "rediss")


def _server(text: str, *schemes: str) -> str:
    address = text.strip()
    try:
        parts = urllib.parse.urlsplit(address)
        host(parts.hostname or "")
        right = parts.scheme in schemes and parts.port != 0 and address.isprintable() and " " not in address
    except ValueError:
        right = False
    if not right:
        raise Refused(f"it must be an address such as {schemes[0]}://localhost:6379/0 ({', '.join(schemes)})")
    return address


def _is_address(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        host(parts.hostname or "")
        login = "@" not in parts.netloc or bool(parts.username and parts.password)
        plain = not parts.query and not parts.fragment
        return parts.scheme in ("http", "https") and bool(parts.port) and plain and login
    except ValueError:
        return False


def split_login(address: str) -> tuple[str, tuple[str, str] | None]:
    """Take user and password out of an address that :func:`url` accepted."""
    parts = urllib.parse.urlsplit(address)
    if parts.username is None or parts.password is None:
        return address, None
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, (urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password))


def hide_login(text: str) -> str:
    """Replace what stands before an @ in an address, so that it can be shown."""
    return re.sub(r"(?s)^(\w+://)?.*@", rf"\1{HIDDEN}@", text)


def index_name(text: str) -> str:
    """Accept what Elasticsearch accepts as the name of an index, with room for a suffix."""
    name = text.strip()
    odd = re.search(r'[\s\\/*?"<>|,#:]', name) or name.startswith(("-", "_", "+", ".")) or not name.isprintable()
    if not name or odd or name != name.lower() or len(os.fsencode(name)) > 200:
        raise Refused(
            "it must be the name of an Elasticsearch index: lower-case letters, digits, - _ and ., "
            "not - _ + or . in front, at most 200 bytes"
        )
    return name
