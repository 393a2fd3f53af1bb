"""Why two files are, or are not, called duplicates: what each step of a run says of them, in words.

The result comes from the grouping itself, so it can't differ from that of a run over these two files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from py_image_dedup import files, images, parts, registration, signature, verification
from py_image_dedup.analysis import Analyser
from py_image_dedup.config import Settings
from py_image_dedup.errors import UsageError
from py_image_dedup.grouping import MOST_STRETCH, Grouping, group, stretch
from py_image_dedup.looks import LastLook
from py_image_dedup.model import Candidate, Content, Decisions, Group, Level, Look, Match, Seen, Skipped, Turn
from py_image_dedup.pipeline import ORIENTATIONS, grouping
from py_image_dedup.ranking import decide, key
from py_image_dedup.stores.interface import Store


class Row(NamedTuple):
    """One thing that is to be said; `obstacle` in a few words where it keeps the two from being duplicates."""

    about: str
    words: str
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """One of the two files, under the name it is called by, with what is known of it."""

    name: str
    candidate: Candidate
    content: Content
    inode: files.Inode

    @property
    def path(self) -> str:
        """Where it lies."""
        return self.candidate.file.path

    @property
    def hash(self) -> str:
        """The SHA-256 of its bytes."""
        return self.content.hash


def read(name: str, path: str, *, store: Store, analyser: Analyser, settings: Settings) -> Subject:
    """Take a file as it is recorded, or analyse it now; :class:`UsageError` if it is no picture that can be read."""
    inode = files.look(path)
    if inode is None:
        raise UsageError(f"{files.printable(path)} is no file that can be looked at")
    seen = Seen(path, inode.size, inode.mtime_ns)
    file = store.known([path]).get(path)
    content = None
    if file is None or file.problem or not file.unchanged(seen):
        record = next(iter(analyser.analyse([seen])))
        if isinstance(record, Skipped):
            raise UsageError(f"{files.printable(path)}: {record.reason}")
        file, content = record.file, record.content
    content = content or store.content(file.content)
    if content is None:
        raise UsageError(f"{files.printable(path)}: {file.problem}")
    facts = content.facts if settings.analysis.use_exif_data else replace(content.facts, exif_count=0)
    above = [root for root in settings.analysis.source_directories if files.is_below(path, [root])]
    return Subject(name, Candidate(file, facts, max(above, key=len, default="")), content, inode)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The two files, and how a run would compare them."""

    one: Subject
    other: Subject
    settings: Settings
    decisions: Decisions
    last_look: LastLook

    def rows(self) -> Iterator[Row]:
        """Yield what there is to say, from what was found to what would become of them."""
        if self.one.inode.is_same_file(self.other.inode):
            yield Row("same file", "both names lead to one file: there is no copy, and nothing could be freed")
            return
        said = [*self._decided(), *self._circumstances()]
        if self.one.hash == self.other.hash:
            said.append(Row("bytes", "the same in both: duplicates at any distance, without a further look"))
            matches: list[Match] = []
        else:
            match = self._match()
            said += self._compared(match)
            matches = self._met(match)
            said.append(self._least_distance(match, [row.obstacle for row in said if row.obstacle]))
        yield from said
        yield from self._result(matches)

    def group(self) -> Group | None:
        """Return the group that a run over these two would make, None if they are unrelated."""
        return self._grouped([] if self.one.hash == self.other.hash else self._met(self._match()))

    @property
    def distance(self) -> float:
        """How far they are from each other, turned the nearest way."""
        return 0.0 if self.one.hash == self.other.hash else self._match().distance

    def _decided(self) -> Iterator[Row]:
        """Tell what a person has decided of them."""
        if kept := [subject.name for subject in (self.one, self.other) if subject.hash in self.decisions.kept]:
            stays = self.one.hash != self.other.hash and self._ranked()[1].name in kept
            obstacle = "the lesser one is kept because you said so" if stays else ""
            yield Row("you said", f"{' and '.join(kept)}: kept", obstacle)
        if self.decisions.are_different(self.one.hash, self.other.hash):
            yield Row("you said", "they are different", "you said that they are different")

    def _circumstances(self) -> Iterator[Row]:
        """Tell what keeps them apart whatever they show."""
        one, other = self.one.candidate, self.other.candidate
        if not self._by.across_roots and one.root and other.root and one.root != other.root:
            yield Row("folders", "not below one source folder, and analysis.across_dirs is off", "their folders")
        apart = abs(one.file.mtime_ns - other.file.mtime_ns)
        limit = self._by.max_mtime_difference_ns
        if limit is not None and apart > limit:
            words = f"{apart / 1e9:.0f} s apart; max_file_modification_time_diff is {limit / 1e9:.0f} s"
            yield Row("modified", words, "their times")

    def _compared(self, match: Match) -> Iterator[Row]:
        """Tell what comparing the pictures shows."""
        a, b = self._pair
        yield Row("distance", f"{match.distance:.3f}" + (f", {match.turn.words}" if match.turn.words else ""))
        if len(self._turns) > 1:
            yield Row("orientations", ", ".join(f"{turn.name.lower()} {d:.3f}" for turn, d in self._distances()))
        if several := [one.name for one in (self.one, self.other) if one.content.facts.frames > 1]:
            words = f"{' and '.join(several)} of several: matched by equal bytes only"
            yield Row("frames", words, "several frames or pages")
        if raw := [one.name for one in (self.one, self.other) if one.content.facts.is_raw]:
            words = f"{' and '.join(raw)} seen by the preview only: a duplicate by equal bytes only"
            yield Row("raw", words, "raw files")
        if not (a.content.signature.any() and b.content.signature.any()):
            yield Row("features", "one is of one even colour or tiny: matched by equal bytes only", "no features")
        stretched = stretch(a.content.facts, b.content.facts, match.turn)
        if stretched > MOST_STRETCH:
            yield Row("shape", f"stretched {stretched:.2f} times; {MOST_STRETCH} is the most", "their shapes")
        yield self._thumbnails(match.turn) or self._looked(match)
        if match.distance > self._by.max_distance:
            agreement = self._laid_over(match.turn)
            verdict = "similar" if agreement >= registration.LEAST_AGREEMENT else "too little to be shown"
            yield Row("laid over", f"{agreement:.3f} of 1; {registration.LEAST_AGREEMENT} is the least: {verdict}")

    def _thumbnails(self, turn: Turn) -> Row | None:
        """Tell of thumbnails that differ so much that nothing else is looked at."""
        a, b = self._pair
        agreement = verification.agreement_of_thumbnails(a.content.thumbnail, images.turned(b.content.thumbnail, turn))
        if agreement >= verification.LEAST_ON_THUMBNAIL:
            return None
        words = f"not the same: even on thumbnails a part agrees to {agreement:.2f} of 1 only"
        return Row("last look", words, "the last look")

    def _looked(self, match: Match) -> Row:
        """Tell what decoding both and comparing them part by part shows."""
        a, b = self._pair
        self.last_look.recall([match])
        look = self.last_look.at(a.candidate, b.candidate, match.turn)
        if look is None:
            reasons = (skipped.reason for skipped in self.last_look.unreadable.values())
            return Row("last look", "; ".join(reasons), "a file that can't be read")
        return Row("last look", self._in_words(look), "" if look.duplicate else "the last look")

    def _in_words(self, look: Look) -> str:
        if look.duplicate:
            return (
                f"the same: the worst part agrees to {look.structure:.2f} of 1, its colours are {look.colour:.0f} off"
            )
        one, other = (self.last_look.glimpse(subject.path) for subject in (self.one, self.other))
        seen = " on white or on black, which show through" if any(v and v.transparent for v in (one, other)) else ""
        if look.structure < verification.LEAST_STRUCTURE:
            least = verification.LEAST_STRUCTURE
            return f"not the same{seen}: a part agrees to {look.structure:.2f} of 1; {least} is the least"
        if look.colour > verification.MOST_COLOUR:
            most = verification.MOST_COLOUR
            return f"not the same{seen}: the colours of a part are {look.colour:.0f} off; {most:g} is the most"
        if one and other and one.exposure.is_other_than(other.exposure):
            names = zip((self.one.name, self.other.name), (one.exposure, other.exposure), strict=True)
            return "two shots: " + "; ".join(f"{name} {exposure.words}" for name, exposure in names)
        return "not surely the same: small text or fine lines differ, or are too small to be told apart"

    def _least_distance(self, match: Match, obstacles: list[str]) -> Row:
        """Tell from which max_distance on they are duplicates."""
        if obstacles:
            return Row("max_distance", f"none makes them duplicates: {', '.join(obstacles)}")
        least = math.ceil(match.distance * 1000) / 1000
        return Row("max_distance", f"duplicates from {least:g} on; it is {self._by.max_distance:g}")

    def _result(self, matches: list[Match]) -> Iterator[Row]:
        """Tell which is the better one, and what a run makes of them."""
        found = self._grouped(matches)
        if found is None:
            best, worse = self._ranked()
            verdict = decide((best.candidate, 0.0), (worse.candidate, 0.0), self._by.rules)
            yield Row("better one", f"{best.name}: {verdict.reason}")
            yield Row("result", "unrelated: neither is listed with the other")
            return
        (member,) = found.members
        keeper, name = (self.one, self.other) if found.keeper is self.one.candidate else (self.other, self.one)
        better = name if member.better else keeper
        yield Row("better one", f"{better.name}: {member.reason.removeprefix('would win: ')}")
        if member.level is Level.SIMILAR:
            part = ", a part" if member.part else ""
            yield Row("result", f"similar{part}: {name.name} is shown below {keeper.name}, and none goes by itself")
        elif self.decisions.keeps(name.path, name.hash, keeper=keeper.hash):
            yield Row("result", f"duplicates: both stay, {name.name} because you said so")
        elif files.FolderSet(self.settings.deduplication.protected_directories).holds(name.path):
            yield Row("result", f"duplicates: {keeper.name} stays, {name.name} too, in a protected folder")
        else:
            yield Row("result", f"duplicates: {keeper.name} stays, {name.name} may go")

    # What a run would compute

    @property
    def _by(self) -> Grouping:
        return grouping(self.settings, self.decisions)

    @property
    def _pair(self) -> tuple[Subject, Subject]:
        """The two in the order in which matches name them."""
        return (self.one, self.other) if self.one.hash < self.other.hash else (self.other, self.one)

    def _ranked(self) -> list[Subject]:
        """Return the two, the better one by the rules first; they are as far from each other as the other way round."""
        return sorted((self.one, self.other), key=lambda one: key(one.candidate, 0.0, self._by.rules))

    @property
    def _turns(self) -> tuple[Turn, ...]:
        return (Turn.UPRIGHT, *ORIENTATIONS[self.settings.analysis.orientations])

    def _distances(self) -> Iterator[tuple[Turn, float]]:
        a, b = self._pair
        for turn in self._turns:
            (turned,) = signature.turned(b.content.signature[None], turn)
            yield turn, signature.distance(a.content.signature, turned)

    def _match(self) -> Match:
        turn, distance = min(self._distances(), key=lambda found: (found[1], found[0]))
        a, b = self._pair
        return Match(a.hash, b.hash, distance, turn)

    def _laid_over(self, turn: Turn) -> float:
        a, b = self._pair
        return registration.agreement(a.content.thumbnail, images.turned(b.content.thumbnail, turn))

    def _met(self, match: Match) -> list[Match]:
        """Return the match if a run would come across it: near enough, or laid over each other if further apart."""
        a, b = self._pair
        if not (a.content.signature.any() and b.content.signature.any()):
            return []
        widest = max(self._by.max_distance, self._by.review_distance)
        if match.distance > widest and self.settings.analysis.crops:
            to_part = min(
                parts.nearest(a.content.thumbnail, b.content.signature),
                parts.nearest(b.content.thumbnail, a.content.signature),
            )
            match = match._replace(distance=to_part, turn=Turn.UPRIGHT, part=True)
        if match.distance > widest:
            return []
        near = match.distance <= self._by.max_distance and not match.part
        return [match] if near or self._laid_over(match.turn) >= registration.LEAST_AGREEMENT else []

    def _grouped(self, matches: list[Match]) -> Group | None:
        candidates = [self.one.candidate, self.other.candidate]
        return next(iter(group(candidates, matches, by=self._by, same=self.last_look.same)), None)
