"""The options for the interpretation of an access log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Bots = Literal["separate", "include"]

# File extensions that are not pages.
ASSETS = frozenset(
    extension
    for group in (
        "css js mjs map json xml rss atom xsl txt webmanifest wasm",
        "png jpg jpeg gif svg webp avif bmp ico cur tif tiff",
        "woff woff2 ttf otf eot",
        "mp3 mp4 m4a m4v webm ogg oga ogv opus wav flac avi mov mpg mpeg mkv flv swf",
        "pdf doc docx xls xlsx ppt pptx odt ods csv epub",
        "zip gz tgz bz2 xz zst tar rar 7z jar war exe msi dmg iso deb rpm apk bin",
    )
    for extension in group.split()
)


@dataclass(frozen=True, slots=True)
class Site:
    """The options for the interpretation of an access log.

    :param url: scheme and host to prepend to paths, such as `https://shop.example`. If it is None, URLs are stored if
        the log has virtual hosts, otherwise paths.
    :param hosts: the site's own hosts, which do not count as referrers; None to detect them in the first lines: the
        virtual hosts, and the most frequent host in the referrers of assets.
    :param other_hosts: additional own hosts, such as those detected in other files.
    :param assets: file extensions that are not pages.
    :param query: whether to keep the query strings of pages.
    :param timeout: a session ends after this many seconds without a request; at least 1.
    :param bots: "separate": events of bots have types such as `bot_page_view`, and no session; "include": bots count as
        visitors. In both cases, `data` has the name of the bot.
    """

    url: str | None = None
    hosts: Iterable[str] | None = None
    other_hosts: frozenset[str] = frozenset()
    assets: Iterable[str] = ASSETS
    query: bool = True
    timeout: float = 30 * 60
    bots: Bots = "separate"


SITE = Site()
