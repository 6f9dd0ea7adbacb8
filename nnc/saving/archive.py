"""Zip archives whose members are stored as they are: written in place, checked before use.

A `.keras` file is such an archive. Writing: the large member is written straight into the file
through a `Window`, and its size and checksum are filled in afterwards, so there is never a second
copy of it, in memory or on the disk. The checksum is made of the pieces as they are written; only
what small writes left is read back. Reading: the directory is checked as a whole (names, sizes,
ratios, duplicates, overlaps) before any member is opened, and a checksum before its bytes are used;
who throws away what it made of them if the checksum is wrong may have it compared in the end.

Source: PKWARE's APPNOTE, 4.3 (headers) and 4.5.3 (Zip64).
"""
import bisect
import io
import os
import struct
import zipfile
import zlib

from .. import _core

MEMBERS = 10_000                    # members of an archive: assets are few
CONFIG_BYTES = 64 << 20             # of a JSON member
RATIO = 1100                        # deflate gives 1032 at most
INFLATED = 1 << 28                  # bytes a member may inflate to beyond 20 times its size
_CHUNK = 1 << 22
_DIRECT = 1 << 16
_PIECE = 1 << 19
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_DATE = 0x21                        # 1980-01-01: the same model gives the same bytes


class Window(io.RawIOBase):
    """A part of a file, as a file of its own. With `size=None` it may grow at its end."""

    def __init__(self, f, start, size=None):
        super().__init__()
        self._f, self._start, self._limit = f, start, size
        self._at, self.size = 0, size or 0
        self._begins, self._pieces = [], {}     # of large parts: where, and (how long, checksum)

    def readable(self):
        return True

    def writable(self):
        return self._limit is None

    def seekable(self):
        return True

    def seek(self, offset, whence=0):
        self._at = max(0, offset + (0, self._at, self.size)[whence])
        return self._at

    def tell(self):
        return self._at

    def readinto(self, buffer):
        view = memoryview(buffer).cast("B")
        view = view[:max(0, self.size - self._at)]
        self._f.seek(self._start + self._at)
        count = self._f.readinto(view) if len(view) else 0
        self._at += count
        return count

    def readall(self):
        data = bytearray(max(0, self.size - self._at))
        return memoryview(data)[:self.readinto(data)]

    def write(self, data):
        if self._limit is not None:
            raise io.UnsupportedOperation("this part of the file is read only")
        view = memoryview(data).cast("B")
        begin = self._at
        self._forget(begin, begin + len(view))
        self._f.seek(self._start + begin)
        if len(view) >= _DIRECT:
            self._note(begin, len(view), self._write_large(view))
        else:
            self._f.write(view)
        self._at += len(view)
        self.size = max(self.size, self._at)
        return len(view)

    def _write_large(self, view):
        """Writes past the buffer, in pieces that the checksum's pass leaves in the nearest caches;
        the checksum.
        """
        self._f.flush()
        number, at, crc = self._f.fileno(), 0, 0
        while at < len(view):
            piece = view[at:at + _PIECE]
            crc = _core.crc32(piece, crc)
            while len(piece):
                count = os.pwrite(number, piece, self._start + self._at + at)
                piece, at = piece[count:], at + count
        return crc

    def _note(self, begin, length, crc):
        self._pieces[begin] = length, crc
        bisect.insort(self._begins, begin)

    def fills(self):
        """Whether `fill` works: the bytes are those of a file of the system."""
        return _descriptor(self._f) is not None

    def fill(self, variable, offset, size):
        """Reads `size` bytes from `offset` on straight into the memory of a variable that holds as
        many.
        """
        crc = _core.read_file(_descriptor(self._f), self._start + offset, size, variable)
        if offset not in self._pieces:
            self._note(offset, size, crc)

    def _forget(self, begin, end):
        """Drops the checksums of pieces that are written over."""
        i = max(0, bisect.bisect_right(self._begins, begin) - 1)
        while i < len(self._begins) and self._begins[i] < end:
            if self._begins[i] + self._pieces[self._begins[i]][0] > begin:
                del self._pieces[self._begins.pop(i)]
            else:
                i += 1

    def truncate(self, size=None):
        size = self._at if size is None else size
        if self._limit is None:
            self._forget(size, max(self.size, size))
            self._f.truncate(self._start + size)
            self.size = size
        return size

    def crc(self):
        """The CRC-32 of all bytes; those of large parts that were written or read are known."""
        at, value = 0, 0
        for begin in self._begins:
            length, piece = self._pieces[begin]
            value = _core.crc32_join(self._crc_read(at, begin, value), piece, length)
            at = begin + length
        return self._crc_read(at, self.size, value)

    def _crc_read(self, begin, end, value):
        """The checksum of what lies from `begin` to `end` after that of what lies before."""
        if begin >= end:
            return value
        if self.fills():
            self._f.flush()
            crc = _core.read_file(_descriptor(self._f), self._start + begin, end - begin)
            return _core.crc32_join(value, crc, end - begin)
        self._f.seek(self._start + begin)
        buffer = memoryview(bytearray(min(end - begin, _CHUNK)))
        while begin < end:
            count = self._f.readinto(buffer[:end - begin])
            if not count:
                break
            value = _core.crc32(buffer[:count], value)
            begin += count
        return value


def _descriptor(f):
    """The system's number of an open file that is nothing but that file, else `None`."""
    raw = getattr(f, "raw", f)
    if isinstance(f, (io.BufferedReader, io.BufferedRandom, io.FileIO)) and \
            isinstance(raw, io.FileIO):
        return raw.fileno()
    return None


class Writer:
    """Writes stored members into a file open for `"w+b"`, one after another."""

    def __init__(self, f):
        self._f, self._members = f, []

    def add(self, name, data):
        """A member of given bytes."""
        with self.open(name) as window:
            window.write(data)

    def open(self, name):
        """A context with a `Window` to write a member through."""
        return _Member(self, name)

    def close(self):
        """Writes the directory: without it the file is no archive."""
        f = self._f
        f.seek(0, os.SEEK_END)
        start = f.tell()
        for name, crc, size, offset in self._members:
            extra = struct.pack("<HHQQQ", 1, 24, size, size, offset) \
                if max(size, offset) >= 0xFFFFFFFF else b""
            small, place = (0xFFFFFFFF, 0xFFFFFFFF) if extra else (size, offset)
            f.write(_CENTRAL.pack(b"PK\1\2", 0x31E + 15, 45 if extra else 20, 0x800, 0, 0, _DATE,
                                  crc, small, small, len(name), len(extra), 0, 0, 0,
                                  0o600 << 16, place) + name + extra)
        end = f.tell()
        count, size = len(self._members), end - start
        if end >= 0xFFFFFFFF:
            f.write(struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size,
                                start))
            f.write(struct.pack("<4sLQL", b"PK\6\7", 0, end, 1))
            start = 0xFFFFFFFF
        f.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, start, 0))


class _Member:
    def __init__(self, writer, name):
        self._writer, self._name = writer, name.encode()

    def __enter__(self):
        f = self._writer._f
        f.seek(0, os.SEEK_END)
        self._offset = f.tell()
        self._header(0, 0)
        self._window = Window(f, f.tell())
        return self._window

    def _header(self, crc, size):
        """The local header; it always has room for sizes of 64 bits."""
        extra = struct.pack("<HHQQ", 1, 16, size, size)
        self._writer._f.write(_LOCAL.pack(b"PK\3\4", 45, 0x800, 0, 0, _DATE, crc, 0xFFFFFFFF,
                                          0xFFFFFFFF, len(self._name), len(extra))
                              + self._name + extra)

    def __exit__(self, kind, *_):
        if kind is None:
            size, crc = self._window.size, self._window.crc()
            self._writer._f.seek(self._offset)
            self._header(crc, size)
            self._writer._members.append((self._name, crc, size, self._offset))


# ---- reading -------------------------------------------------------------------------------------

class Reader:
    """The members of an archive that has passed all checks.

    Args:
        f: A file open for reading (seekable), or the bytes of one.
        what: How messages call the file.

    Raises:
        ValueError: If it is no archive, or one that nobody would write in good faith.
    """

    def __init__(self, f, what):
        self._what, self._f = what, f
        try:
            self._zip = zipfile.ZipFile(f)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, struct.error, OverflowError,
                NotImplementedError, UnicodeDecodeError) as error:
            raise ValueError(f"{what} is no zip archive, or a damaged one: {error}") from None
        self._check()

    def _refuse(self, member, why):
        raise ValueError(f"{self._what}: member {member!r} refused: {why}")

    def _check(self):
        infos = self._zip.infolist()
        self._f.seek(0, os.SEEK_END)
        length = self._f.tell()
        if len(infos) > MEMBERS:
            raise ValueError(f"{self._what}: refused: {len(infos)} members, at most {MEMBERS} are "
                             "allowed")
        seen, end = set(), 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            name = info.filename
            check_name(name, lambda why, name=name: self._refuse(name, why))
            if name in seen:
                self._refuse(name, "it is there twice")
            seen.add(name)
            if info.flag_bits & 0x1:
                self._refuse(name, "it is encrypted")
            if (info.external_attr >> 28) == 0xA:
                self._refuse(name, "it is a symbolic link")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                self._refuse(name, f"compression method {info.compress_type} is not allowed "
                                   "(stored and deflated are)")
            if info.header_offset < end or info.header_offset + 30 + info.compress_size > length:
                self._refuse(name, "its bytes overlap another member or lie outside of the file")
            end = info.header_offset + 30 + info.compress_size
            if info.compress_type == zipfile.ZIP_STORED:
                if info.file_size != info.compress_size:
                    self._refuse(name, f"it is stored but says {info.file_size} bytes where "
                                       f"{info.compress_size} are")
            elif info.file_size > RATIO * info.compress_size + 64 or \
                    info.file_size > INFLATED + 20 * info.compress_size:
                self._refuse(name, f"{info.compress_size} bytes that inflate to {info.file_size}: "
                                   "a decompression bomb")

    @property
    def length(self):
        """How many bytes the archive has."""
        return self._f.seek(0, os.SEEK_END)

    def read_all(self, name):
        """The bytes of a member, as many as `_check` allows."""
        return self.read(name, INFLATED + 20 * self._info(name).compress_size)

    @property
    def names(self):
        """The names of the members."""
        return self._zip.namelist()

    def read(self, name, limit=CONFIG_BYTES):
        """The bytes of a member, at most `limit`."""
        info = self._info(name)
        if info.file_size > limit:
            self._refuse(name, f"{info.file_size} bytes, at most {limit} are allowed")
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError,
                NotImplementedError, struct.error, UnicodeDecodeError) as error:
            self._refuse(name, f"damaged: {error}")

    def open(self, name, late=False):
        """A member as a file; its checksum has been compared. `late`: `check` shall be called when
        it was read.
        """
        info = self._info(name)
        if info.compress_type != zipfile.ZIP_STORED:
            return io.BytesIO(self.read_all(name))
        self._f.seek(info.header_offset)
        header = self._f.read(_LOCAL.size)
        if len(header) < _LOCAL.size or header[:4] != b"PK\3\4":
            self._refuse(name, "its header is damaged")
        fields = _LOCAL.unpack(header)
        start = info.header_offset + _LOCAL.size + fields[-2] + fields[-1]
        if self._f.read(fields[-2]) != info.filename.encode("utf-8", "surrogateescape"):
            self._refuse(name, "its header gives another name than the directory")
        window = Window(self._f, start, info.file_size)
        if not late:
            self.check(name, window)
        return window

    def check(self, name, window):
        """Compares the checksum of a member that was opened."""
        try:
            good = not isinstance(window, Window) or window.crc() == self._info(name).CRC
        except ValueError as error:
            self._refuse(name, f"damaged: {error}")
        if not good:
            self._refuse(name, "its checksum is wrong: the file is damaged")

    def size(self, name):
        """How many bytes a member holds."""
        return self._info(name).file_size

    def _info(self, name):
        try:
            return self._zip.getinfo(name)
        except KeyError:
            raise ValueError(f"{self._what}: there is no member {name!r}; there are "
                             f"{self.names[:20]}") from None


def check_name(name, refuse):
    """Calls `refuse(why)` for a name that could lead out of a folder."""
    parts = name.split("/")
    if not name or len(name) > 1000:
        refuse("its name is empty or too long")
    if "\0" in name or "\\" in name or ":" in name or name.startswith("/") or ".." in parts or \
            any(ord(c) < 32 for c in name):
        refuse("its name leads out of the archive or holds characters that are not allowed")
    if len(parts) > 64:
        refuse("its name has more than 64 levels")
