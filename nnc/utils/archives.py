"""Unpacking of downloaded archives: every member is checked before the first is written.

Refused are names that lead out of the folder, members behind links, links that lead out, devices,
and contents out of proportion to the archive: a file of a few kilobytes that unpacks to terabytes.
"""
import contextlib
import os
import stat

_RATIO, _SMALL, _MEMBERS = 200, 1 << 30, 1_000_000  # bytes out per byte in, from 1 GiB on; members


def unpack(path, folder, formats):
    """Unpacks a tar or zip file into `folder`; a new folder appears when it is complete.

    Raises:
        ValueError: If it is no such archive, or a member is refused; then nothing was written.
    """
    import tarfile
    import zipfile

    if formats == "auto":
        formats = ["tar", "zip"]
    elif isinstance(formats, str):
        formats = [formats]
    for form in formats or []:
        if form not in ("tar", "zip"):
            raise ValueError("get_file: `archive_format` must be 'auto', 'tar', 'zip' or None. "
                             f"Received: archive_format={form!r}")
        if form == "tar" and tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                _check_tar(archive, path, folder)
                _extract(folder, lambda place: archive.extractall(place, filter="data"))
            return
        if form == "zip" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_zip(archive, path)
                _extract(folder, archive.extractall)
            return
    raise ValueError(f"get_file: {path} is no archive of the format {formats}")


def _extract(folder, extract):
    """Extracts beside a folder that is not there yet, and renames; else into it."""
    import shutil

    if os.path.isdir(folder):
        extract(folder)
        return
    part = f"{folder}.{os.urandom(6).hex()}.part"
    try:
        os.makedirs(part)
        extract(part)
        os.replace(part, folder)
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(part)
        raise


def _refuse(path, name, why):
    raise ValueError(f"get_file: {path} holds the member {name!r}, which {why}: nothing of the "
                     "archive was unpacked.")


def _check_name(path, name):
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ":" in parts[0] or ".." in parts or "\0" in name:
        _refuse(path, name, "would land outside of its folder")


def _check_size(path, total, count):
    size = os.path.getsize(path)
    if total > _SMALL and total > _RATIO * size:
        raise ValueError(f"get_file: {path} has {size:,} bytes and would unpack to {total:,}: "
                         "nothing was unpacked.")
    if count > _MEMBERS:
        raise ValueError(f"get_file: {path} holds more than {_MEMBERS:,} members: nothing was "
                         "unpacked.")


def _check_tar(archive, path, folder):
    import tarfile

    total, links = 0, set()
    for count, member in enumerate(archive, 1):
        name = os.path.normpath(member.name)
        _check_name(path, member.name)
        parents = name.split("/")
        if any("/".join(parents[:i]) in links for i in range(1, len(parents))):
            _refuse(path, member.name, "lies behind a link")
        try:
            tarfile.data_filter(member, folder)
        except tarfile.FilterError as error:
            _refuse(path, member.name, f"is not safe ({error})")
        if member.issym() or member.islnk():
            links.add(name)
        total += member.size
        _check_size(path, total, count)


def _check_zip(archive, path):
    total = 0
    for count, member in enumerate(archive.infolist(), 1):
        _check_name(path, member.filename)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind and not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            _refuse(path, member.filename, "is a link or a device")
        total += member.file_size
        _check_size(path, total, count)
