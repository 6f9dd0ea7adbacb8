"""Files: atomic writing, and downloads into a cache.

A file written here is either the old one or the whole new one: the bytes go to a file beside it,
are flushed to the disk, and take its name in one step.
"""
import contextlib
import os
import re

from nnc.utils.io import print_message

_CHUNK = 1 << 16                                    # bytes a read: small, for a live progress bar
_TIMEOUT = 30                                       # seconds without a byte, then it is given up


@contextlib.contextmanager
def atomic_write(path, mode="wb", **open_args):
    """A file open for writing that becomes `path` when the block ends well.

    Args:
        path: String or path-like. Where the file shall be; its folder must exist.
        mode: `"wb"`, `"w"`, or `"w+b"` to read back too.
        open_args: Passed to `open` (`encoding`, `newline`).

    On an exception in the block, `path` is left as it was and the unfinished file is removed. What
    a writer that was killed left beside `path` is removed by the next one.
    """
    if mode not in ("w", "wb", "w+b"):
        raise ValueError("atomic_write: `mode` must be 'w', 'wb' or 'w+b'. Received: "
                         f"mode={mode!r}")
    path = os.path.realpath(os.fspath(path))        # a link stays a link, its target is replaced
    folder, name = os.path.split(path)
    _remove_litter(folder, name)
    part = os.path.join(folder, f".{name}.{os.urandom(6).hex()}.part")
    try:
        with open(part, mode.replace("w", "x"), **open_args) as f:
            hold(f)
            yield f
            f.flush()
            os.fsync(f.fileno())
        if os.path.exists(path):
            os.chmod(part, os.stat(path).st_mode & 0o777)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise
    _sync_folder(folder)


def hold(f, wait=True):
    """Locks a file for as long as it is open: it is not litter. Says whether that went well."""
    if os.name != "posix":
        return wait
    import fcntl

    try:
        fcntl.flock(f, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:                                 # held by its writer, or no locks here
        return False
    return True


def remove(path, unheld=False):
    """Removes a file if it can be; `unheld`: only if nobody holds it."""
    with contextlib.suppress(OSError):
        with open(path, "rb") as f:
            if not unheld or hold(f, wait=False):
                os.unlink(path)


def _remove_litter(folder, name):
    """Removes unfinished files of `name` whose writers are gone: nobody holds them."""
    pattern = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{12}\.part")
    try:
        found = [entry for entry in os.listdir(folder) if pattern.fullmatch(entry)]
    except OSError:
        return                                      # the open that follows says what is wrong
    for entry in found:
        remove(os.path.join(folder, entry), unheld=True)


def check_folder(folder, who, size=0):
    """Makes a folder if needed; refuses one where no file of `size` bytes can be written.

    Raises:
        OSError: If it cannot be made or written to, or its disk is too full.
    """
    import errno
    import shutil
    import tempfile

    folder = folder or "."
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise NotADirectoryError(f"{who}: the place to write to must be a folder. Received the "
                                 f"file {folder}")
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(error.errno, f"{who}: the folder {folder} cannot be written to "
                          f"({error.strerror})") from None
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(errno.ENOSPC, f"{who}: the disk of the folder {folder} is too full: a file "
                      f"needs about {size} bytes, {free} are free")


def size_of(variables):
    """Bytes of the values of variables."""
    return sum(variable._view().nbytes for variable in variables)


def _sync_folder(folder):
    if os.name != "posix":                          # elsewhere a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:                                 # some network file systems have no folder sync
        pass
    finally:
        os.close(handle)


def home():
    """The folder for caches: `$NNC_HOME`, `$KERAS_HOME`, else `~/.keras`."""
    folder = os.environ.get("NNC_HOME") or os.environ.get("KERAS_HOME")
    return os.path.expanduser(folder or os.path.join("~", ".keras"))


def data_dir():
    """The folder that data sets are looked up in first: `$NNC_DATA_DIR`, or `None`."""
    folder = os.environ.get("NNC_DATA_DIR")
    return os.path.expanduser(folder) if folder else None


def get_file(
    fname=None,
    origin=None,
    untar=False,
    md5_hash=None,
    file_hash=None,
    cache_subdir="datasets",
    hash_algorithm="auto",
    extract=False,
    archive_format="auto",
    cache_dir=None,
    force_download=False,
):
    """Downloads a file if it is not in the cache yet.

    Args:
        fname: Name in the cache. Defaults to the name in `origin`.
        origin: URL of the file.
        untar: The same as `extract=True, archive_format="tar"`.
        md5_hash: The same as `file_hash` with `hash_algorithm="md5"`.
        file_hash: Expected hash, in hexadecimal. A file with another hash is never returned.
        cache_subdir: Folder inside the cache, or an absolute path.
        hash_algorithm: `"md5"`, `"sha256"`, or `"auto"` (by the length of `file_hash`).
        extract: Whether to unpack a tar or zip archive.
        archive_format: `"tar"`, `"zip"`, `"auto"`, a list of those, or `None` (nothing matches).
        cache_dir: The cache. Defaults to `$NNC_HOME`, `$KERAS_HOME`, else `~/.keras`.
        force_download: Whether to download even if the file is there.

    Returns:
        Path of the file, or of the folder with the unpacked archive.

    Raises:
        OSError: If the download fails.
        ValueError: If `cache_subdir` leads out of the cache, the file has not the expected hash, or
            is an archive that is not safe to unpack: names or links that lead out of the folder,
            devices, a huge ratio.
    """
    if not origin:
        raise ValueError("get_file: `origin` (the URL of the file) must be given.")
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    extract = extract or untar
    if os.path.normpath(cache_subdir).split(os.sep)[0] == os.pardir:
        raise ValueError("get_file: `cache_subdir` must lie in the cache folder; name another "
                         "folder by `cache_dir` or an absolute path. Received: "
                         f"cache_subdir={cache_subdir!r}")
    folder = os.path.join(os.path.expanduser(os.fspath(cache_dir or home())), cache_subdir)
    target, unpacked = _names(fname, origin, folder, extract)
    os.makedirs(folder, exist_ok=True)
    if force_download or not _is_good(target, file_hash, hash_algorithm):
        print_message(f"Downloading data from {origin}")
        _download(origin, target, file_hash, hash_algorithm)
    if not extract:
        return target
    from nnc.utils.archives import unpack

    unpack(target, unpacked, "tar" if untar else archive_format)
    return unpacked


def _names(fname, origin, folder, extract):
    """Where the download goes and, for an archive, the folder for its contents."""
    given = fname is not None and os.fspath(fname) != ""
    if given:
        name = os.fspath(fname)
    else:
        from urllib.parse import urlsplit

        name = urlsplit(origin).path.rpartition("/")[2]
        if not name:
            raise ValueError(
                "get_file: `origin` has no file name in it; pass `fname`. "
                f"Received: origin={origin}"
            )
    if os.path.basename(name) != name or name in (".", ".."):
        raise ValueError(
            "get_file: `fname` must be a name without folders; give the folder by `cache_dir` and "
            f"`cache_subdir`. Received: fname={name}"
        )
    target = os.path.join(folder, name)
    if not extract:
        return target, None
    if given and "." in name:
        return target, os.path.join(folder, name.partition(".")[0] + "_extracted")
    return target + "_archive", target


def _is_good(path, file_hash, algorithm):
    if not os.path.exists(path):
        return False
    if file_hash is None:
        return True
    if file_digest(path, _algorithm(file_hash, algorithm)) == file_hash.lower():
        return True
    print_message(f"{path} is not the expected file (its hash differs) and is downloaded again.")
    return False


def _algorithm(file_hash, algorithm):
    if algorithm == "auto":
        return "sha256" if len(file_hash) == 64 else "md5"
    if algorithm not in ("md5", "sha256"):
        raise ValueError(
            "get_file: `hash_algorithm` must be 'auto', 'md5' or 'sha256'. "
            f"Received: hash_algorithm={algorithm!r}"
        )
    return algorithm


def file_digest(path, algorithm="sha256"):
    """Hash of a file's bytes, in hexadecimal."""
    import hashlib

    with open(path, "rb") as f:
        return hashlib.file_digest(f, algorithm).hexdigest()


def _download(origin, target, file_hash, algorithm):
    """Fetches `origin` into `target`, all or nothing, with a progress bar counted in bytes."""
    import hashlib
    import http.client
    import urllib.error
    import urllib.request

    from nnc.progress import Progbar

    digest = hashlib.new(_algorithm(file_hash, algorithm)) if file_hash else None
    seen = 0
    try:
        with urllib.request.urlopen(origin, timeout=_TIMEOUT) as page, atomic_write(target) as f:
            size = page.headers.get("Content-Length")
            size = int(size) if size and size.isdigit() and int(size) else None
            bar = Progbar(size, unit_name="byte")
            while chunk := page.read(_CHUNK):
                f.write(chunk)
                seen += len(chunk)
                if digest:
                    digest.update(chunk)
                bar.update(seen, finalize=False)
            if size is not None and seen != size:
                raise OSError(f"received {seen} of {size} bytes")
            bar.update(seen, finalize=True)
            if digest and digest.hexdigest() != file_hash.lower():
                raise ValueError(
                    f"get_file: {origin} is not the expected file: its {digest.name} hash is "
                    f"{digest.hexdigest()}, expected {file_hash}"
                )
    except urllib.error.HTTPError as error:
        raise OSError(f"Download of {origin} failed: {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise OSError(f"Download of {origin} failed: {reason}") from error
