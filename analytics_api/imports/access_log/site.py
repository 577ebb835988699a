"""The site that an access log belongs to, and the rules for counting its requests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

# The extensions of what is not a page.
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
    """How a log is to be understood.

    url          scheme and host before the paths of pages, `https://shop.example`; without it a page is a path, and in
                 a log with virtual hosts a URL of its virtual host
    hosts        the hosts of the site, whose referrers do not count. Left out, they are detected in the first lines:
                 the virtual hosts, and the host that most requests for assets come from
    other_hosts  more hosts of the site, beside those that are detected, such as those of other files
    assets       extensions of what is not a page
    query        whether pages keep what is behind the question mark
    timeout      seconds without a request that end a session, at least one
    bots         "separate": events of bots have types of their own and no session; "include": they are visitors,
                 with the bot's name in `data`
    """

    url: str | None = None
    hosts: Iterable[str] | None = None
    other_hosts: frozenset[str] = frozenset()
    assets: Iterable[str] = ASSETS
    query: bool = True
    timeout: float = 30 * 60
    bots: Literal["separate", "include"] = "separate"


SITE = Site()
