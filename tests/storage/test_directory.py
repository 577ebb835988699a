"""Counting a directory, with unusual files and with changes during the count."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from analytics_api.errors import StorageError
from analytics_api.storage.directory import Directory


def fill(root: Path, *keys: str) -> Path:
    for key in keys:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def counted(directory: Directory) -> tuple[int | None, int | None]:
    statistics = directory.statistics()
    return statistics.total_objects, statistics.estimated_sessions


def test_directory_counts_files_at_any_depth(tmp_path: Path) -> None:
    fill(tmp_path, "readme", "sessions/a/0.json", "sessions/a/deep/er/1.json", "sessions/b.json", "sessions/c d/é.json")

    statistics = Directory(tmp_path, clock=lambda: 1767225600.0).statistics()

    assert (statistics.total_objects, statistics.estimated_sessions, statistics.taken_at) == (5, 3, 1767225600000)


def test_empty_directory_is_zero_not_unknown(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()

    assert counted(Directory(tmp_path)) == (0, 0)


def test_directory_named_sessions_contains_sessions(tmp_path: Path) -> None:
    root = fill(tmp_path / "sessions", "a/0.json", "a/1.json", "b.json")

    assert counted(Directory(root)) == (3, 2)


def test_directory_counts_more_files_than_a_page(tmp_path: Path) -> None:
    fill(tmp_path, *(f"sessions/{number}.json" for number in range(1001)))

    assert counted(Directory(tmp_path)) == (1001, 1001)


def test_directory_ignores_links(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", "sessions/a/0.json")
    fill(tmp_path / "outside", "0.json")
    (root / "sessions/b").symlink_to(tmp_path / "outside")
    (root / "sessions/c.json").symlink_to(tmp_path / "outside/0.json")
    (root / "sessions/loop").symlink_to(root)

    assert counted(Directory(root)) == (1, 1)


def test_directory_may_be_a_link(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", "sessions/a/0.json")
    (tmp_path / "link").symlink_to(root)

    assert counted(Directory(tmp_path / "link")) == (1, 1)


def test_directory_distinguishes_names_that_are_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    for name in (b"\xff.json", b"\xfe.json", b"new\nline.json"):
        Path(os.fsdecode(os.fsencode(tmp_path / "sessions") + b"/" + name)).touch()

    assert counted(Directory(tmp_path)) == (3, 3)


def test_relative_directory_survives_chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "here/sessions/a/0.json")
    monkeypatch.chdir(tmp_path)
    directory = Directory("here")
    monkeypatch.chdir("/")

    assert counted(directory) == (1, 1)


def test_missing_directory_is_an_error_until_created(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "later")

    with pytest.raises(StorageError, match=r"later cannot be counted: .*No such file"):
        directory.statistics()
    fill(tmp_path, "later/sessions/a/0.json")

    assert counted(directory) == (1, 1)


def test_file_instead_of_directory_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path, "file")

    with pytest.raises(StorageError, match="Not a directory"):
        Directory(tmp_path / "file").statistics()


def test_folder_that_vanishes_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "sessions/a/0.json", "sessions/b/0.json", "sessions/c/0.json")
    scandir = os.scandir

    def vanishing(path: Any) -> Any:
        if str(path).endswith("/b"):
            (tmp_path / "sessions/b/0.json").unlink()
            (tmp_path / "sessions/b").rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanishing)

    assert counted(Directory(tmp_path)) == (2, 2)


def test_unreadable_folder_is_an_error(tmp_path: Path) -> None:
    # The path is longer than PATH_MAX, which is an error even for root.
    fill(tmp_path, "sessions/a/0.json")
    level = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=level)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=level)
        os.close(level)
        level = below
    os.close(level)

    with pytest.raises(StorageError, match="File name too long"):
        Directory(tmp_path).statistics()
